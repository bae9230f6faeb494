"""Uploaded files, stored in pieces of at most a megabyte."""

from collections.abc import Callable
from datetime import timedelta
from typing import IO

from flask import request

from app.files.service import PIECE
from app.imports.csv_reader import check_file_name
from app.unit_of_work import unit_of_work
from app.web.views import View, mark_view, view_property

KEPT_FOR = timedelta(days=1)
# The size of a form around its file.
AROUND = 64 * 1024


def allow_large_body() -> None:
    """Raise the limit of the body's size if the view accepts a file and the user can call it."""
    if most_bytes := view_property("most_bytes"):
        request.max_content_length = most_bytes


def accepts_file(most_bytes: int) -> Callable[[View], View]:
    """Let a body of this size in."""
    return mark_view(most_bytes=most_bytes + AROUND)


def store(stream: IO[bytes], *, name: str, owner_id: int | None) -> tuple[int, int]:
    """Return the ID of the stored file and its number of line ends. A partial upload is deleted after a day.

    Raises UnreadableFile for a name that no table has.
    """
    check_file_name(name)
    with unit_of_work() as work:
        file_id = work.files.create_file(name=name, owner_id=owner_id, lives=KEPT_FOR).id
    number = lines = 0
    while piece := stream.read(PIECE):
        with unit_of_work() as work:
            work.files.append(file_id, number, piece)
        number, lines = number + 1, lines + piece.count(b"\n")
    with unit_of_work() as work:
        work.files.finish(file_id)
    return file_id, lines
