"""What the first page of administration shows; each feature declares its own parts."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from app.unit_of_work import Work


class Notice(NamedTuple):
    """Something that needs attention; `kind` is error, warning or info."""

    kind: str
    text: str
    url: str


class NoticeSource(NamedTuple):
    """A function that finds notices for users with a permission; `place` orders the sources."""

    permission: str
    find: Callable[[Work], Iterable[Notice]]
    place: int


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
