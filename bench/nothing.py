"""What a bare RQ worker runs: the same as `NoOperation` asks of ours."""


def nothing() -> None:
    return None
