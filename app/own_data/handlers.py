"""The handler that writes a copy of a user's data as a ZIP file with JSON and CSV."""

import json
import tempfile
import zipfile
from collections.abc import Iterator
from datetime import datetime, tzinfo
from itertools import chain
from typing import Any

from sqlalchemy.exc import IntegrityError

from app.core import errors
from app.files.models import StoredFile
from app.files.service import PIECE
from app.jobs.registry import handles
from app.jobs.services.queue import Claim
from app.mail.rendering import Message, render
from app.own_data.emails import OwnDataReady
from app.own_data.service import OwnData
from app.own_data.tasks import ExportOwnData
from app.site.current import brand
from app.unit_of_work import Work
from app.users.models import User
from app.users.time_zones import zone_of
from app.web.exports import MARK, csv_lines

Sections = Iterator[tuple[str, Iterator[dict[str, Any]]]]
README = """The data {site} holds about you, as of {at}.

data.json    all of it
*.csv        the same data as tables, for a spreadsheet

Passwords and other credentials are not included. They are stored only as hashes.
"""


@handles(ExportOwnData)
def export_own_data(work: Work, task: ExportOwnData, claim: Claim) -> Message:
    user, file = work.session.get(User, task.user_id), work.session.get(StoredFile, task.file_id)
    if user is None or not user.is_active or file is None:
        raise errors.NothingToDo("the user or the request no longer exists")
    if file.completed_at is None:
        try:
            with work.session.begin_nested():
                _fill(work, file, user)
        except IntegrityError:
            raise errors.NothingToDo("another copy was requested since") from None
    return render(OwnDataReady.email(user, until=file.expires_at, link="/account/data"))


def _fill(work: Work, file: StoredFile, user: User) -> None:
    with tempfile.TemporaryFile() as written:
        with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("README.md", README.format(site=brand().name, at=work.clock().isoformat()))
            _write_json(archive, work[OwnData].sections(user.id))
            _write_tables(archive, work[OwnData].sections(user.id), zone_of(user.id))
        written.seek(0)
        number = 0
        while piece := written.read(PIECE):
            work.files.append(file.id, number, piece)
            number += 1
    work.files.finish(file.id)


def _write_json(archive: zipfile.ZipFile, sections: Sections) -> None:
    """Write one row at a time, because there may be hundreds of thousands."""
    with archive.open("data.json", "w", force_zip64=True) as written:
        before = "{"
        for name, rows in sections:
            written.write(f"{before}\n  {json.dumps(name)}: [".encode())
            between = ""
            for row in rows:
                written.write(f"{between}\n    {json.dumps(row, ensure_ascii=False, default=str)}".encode())
                between = ","
            written.write(b"\n  ]" if between else b"]")
            before = ","
        written.write(b"\n}\n")


def _write_tables(archive: zipfile.ZipFile, sections: Sections, zone: tzinfo) -> None:
    """Write CSV files with times in `zone`; data.json has them in UTC."""
    for name, rows in sections:
        first = next(rows, None)
        if first is None:
            continue
        with archive.open(f"{name}.csv", "w", force_zip64=True) as written:
            written.write(MARK.encode())
            for line in csv_lines(first, (_cells(row, zone) for row in chain([first], rows))):
                written.write(line.encode())


def _cells(row: dict[str, Any], zone: tzinfo) -> Iterator[Any]:
    return (value.astimezone(zone) if isinstance(value, datetime) else value for value in row.values())
