"""The copy of one's own data: a ZIP file with JSON and CSV of the same."""

from __future__ import annotations

import json
import tempfile
import zipfile
from typing import IO, Any

from app.emails import Message, messages
from app.errors import Pointless
from app.jobs.registry import handles
from app.models import StoredFile, User
from app.services.files import PIECE
from app.services.job_queue import Claim
from app.tasks import ExportOwnData
from app.unit_of_work import Work
from app.web.exports import csv_lines

README = """Everything that {site} keeps about you, as of {at}.

data.json    all of it
*.csv        the same, a file for each kind, for a spreadsheet

Left out are passwords and other credentials, which are stored as hashes only.
"""


@handles(ExportOwnData)
def export_own_data(work: Work, task: ExportOwnData, claim: Claim) -> Message:
    user, file = work.session.get(User, task.user_id), work.session.get(StoredFile, task.file_id)
    if user is None or not user.is_active or file is None:
        raise Pointless("the person or the request is gone")
    if file.completed_at is None:
        _fill(work, file, user)
    return messages.own_data_ready(user, until=file.expires_at)


def _fill(work: Work, file: StoredFile, user: User) -> None:
    sections = dict(work.own_data.sections(user.id))
    with tempfile.TemporaryFile() as written:
        _write(written, sections, README.format(site=work.site_name, at=work.clock().isoformat()))
        written.seek(0)
        number = 0
        while piece := written.read(PIECE):
            work.files.append(file.id, number, piece)
            number += 1
    work.files.finish(file.id)


def _write(written: IO[bytes], sections: dict[str, list[dict[str, Any]]], readme: str) -> None:
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.md", readme)
        archive.writestr("data.json", json.dumps(sections, indent=2, ensure_ascii=False, default=str))
        for name, rows in sections.items():
            if rows:
                archive.writestr(f"{name}.csv", "\ufeff" + "".join(csv_lines(rows[0], (row.values() for row in rows))))
