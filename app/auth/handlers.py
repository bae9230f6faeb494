"""Job handlers."""

from collections.abc import Iterator
from contextlib import suppress

from app.auth.services.last_seen import Use
from app.auth.tasks import PurgeUnconfirmed, SaveLastSeen
from app.core.cache import cache
from app.jobs.registry import Run, handles_in_steps, repeat_steps
from app.unit_of_work import Work


@handles_in_steps(PurgeUnconfirmed)
def purge_unconfirmed(run: Run, task: PurgeUnconfirmed) -> str:
    erased = repeat_steps(run, 1000, lambda work: work.registration.purge_unconfirmed(at_most=1000))
    return f"accounts erased: {erased}"


@handles_in_steps(SaveLastSeen)
def note_uses(run: Run, task: SaveLastSeen) -> str:
    return f"last-seen times saved: {repeat_steps(run, 1000, _note_some)}"


def _note_some(work: Work) -> int:
    notes = cache.take("uses", at_most=1000)
    work.last_seen.record(_readable(notes))
    return len(notes)


def _readable(notes: dict[str, str | None]) -> Iterator[Use]:
    for key, at in notes.items():
        # An earlier or a later version may have put in something else.
        with suppress(ValueError):
            yield Use.read(key, at or "")
