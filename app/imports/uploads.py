"""Uploaded files, stored in pieces of at most a megabyte."""

from datetime import timedelta
from typing import IO

from app.files.service import PIECE
from app.imports.csv_reader import check_file_name
from app.unit_of_work import unit_of_work

KEPT_FOR = timedelta(days=1)


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
