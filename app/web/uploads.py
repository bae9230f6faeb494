"""Files that are sent to us: stored in pieces, none of which is larger than a megabyte in memory."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import IO, Any, TypeVar

from flask import Flask, current_app, request

from app.services.files import PIECE
from app.unit_of_work import unit_of_work

View = TypeVar("View", bound=Callable[..., Any])

KEPT_FOR = timedelta(days=1)
# What a form adds to its file.
AROUND = 64 * 1024


def init_app(app: Flask) -> None:
    app.before_request(_let_in)


def _let_in() -> None:
    """After the guard has run, so that nobody else can send a large body."""
    view = current_app.view_functions.get(request.endpoint or "")
    if most_bytes := getattr(view, "most_bytes", None):
        request.max_content_length = most_bytes


def accepts_file(most_bytes: int) -> Callable[[View], View]:
    """Let a body of this size in."""

    def mark(view: View) -> View:
        view.most_bytes = most_bytes + AROUND  # type: ignore[attr-defined]
        return view

    return mark


def store(stream: IO[bytes], *, name: str, owner_id: int | None) -> tuple[int, int]:
    """The id of the stored file, and the number of its line ends. One that is cut off is deleted after a day."""
    with unit_of_work() as work:
        file_id = work.files.begin(name=name, owner_id=owner_id, lives=KEPT_FOR).id
    number = lines = 0
    while piece := stream.read(PIECE):
        with unit_of_work() as work:
            work.files.append(file_id, number, piece)
        number, lines = number + 1, lines + piece.count(b"\n")
    with unit_of_work() as work:
        work.files.finish(file_id)
    return file_id, lines
