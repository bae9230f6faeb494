"""Time limits for waiting on PostgreSQL."""

from dataclasses import dataclass

from flask import current_app, g, has_app_context, has_request_context


@dataclass(frozen=True, slots=True)
class Patience:
    """Time limits in seconds: for a lock, for a statement, and for one response of the server (None: unlimited)."""

    lock: int
    statement: int
    answer: float | None = None


OF_CHECKS = Patience(lock=2, statement=3, answer=3)
OF_JOBS = Patience(lock=30, statement=600)


def of_requests(seconds: int) -> Patience:
    """Return limits with `seconds` for a response; the server, if it can, gives up before that."""
    return Patience(lock=max(1, seconds // 2), statement=max(1, seconds - 1), answer=seconds)


def be_patient(patience: Patience) -> None:
    """Set the patience for the rest of this request or job."""
    g.database_patience = patience


def patience() -> Patience | None:
    """Return the patience; None for commands, which wait without limit."""
    if not has_app_context():
        return None
    usual = current_app.extensions["patience"] if has_request_context() else None
    seconds: Patience | None = g.get("database_patience", usual)
    return seconds
