"""Handlers that check and apply user imports in batches."""

from collections.abc import Iterator
from itertools import islice

from app.core import errors
from app.imports.csv_reader import Record, read_table
from app.imports.errors import UnreadableFile
from app.imports.models import Phase, UserImport
from app.imports.services.worker import MAX_ROWS, ImportWorker, columns_of
from app.imports.tasks import ApplyUserImport, CheckUserImport
from app.jobs.registry import Run, handles_in_steps
from app.unit_of_work import reading

BATCH = 500


@handles_in_steps(CheckUserImport)
def check_user_import(run: Run, task: CheckUserImport) -> str:
    user_import = _in_phase(task.import_id, Phase.CHECKING)
    total, done = user_import.rows, (run.claim.position or {}).get("row", 1)
    try:
        by = reading()[ImportWorker].importer(user_import)
        table = read_table(reading().files.pieces(user_import.file_id or 0))
        used, ignored = columns_of(table.columns)
        for batch in _batches(table.records, after=done):
            with run.step(by=by) as work:
                records = [
                    Record(
                        record.number,
                        {used[name]: cell for name, cell in record.cells.items() if name in used},
                        record.problem,
                    )
                    for record in batch
                ]
                work[ImportWorker].check(task.import_id, records, by=by)
                done = batch[-1].number
                work.progress(done, max(total, done), position={"row": done})
    except UnreadableFile as refusal:
        with run.step() as work:
            work[ImportWorker].refuse(task.import_id, str(refusal))
        return str(refusal)
    with run.step() as work:
        checked = work[ImportWorker].close_check(task.import_id, ignored=ignored)
    return f"rows checked: {checked}"


@handles_in_steps(ApplyUserImport)
def apply_user_import(run: Run, task: ApplyUserImport) -> str:
    total = _in_phase(task.import_id, Phase.APPLYING).rows
    position = run.claim.position or {"row": 0, "done": 0}
    row, done = position["row"], position["done"]
    while True:
        try:
            by = reading()[ImportWorker].importer(_in_phase(task.import_id, Phase.APPLYING))
        except UnreadableFile as refusal:
            with run.step() as work:
                work[ImportWorker].refuse(task.import_id, str(refusal))
            return str(refusal)
        with run.step(by=by) as work:
            count, row = work[ImportWorker].apply(task.import_id, after=row, limit=BATCH, by=by)
            done += count
            work.progress(done, total, position={"row": row, "done": done})
            if not count:
                work[ImportWorker].close(task.import_id)
        if not count:
            return f"rows: {done}"


def _in_phase(import_id: int, phase: Phase) -> UserImport:
    user_import = reading()[ImportWorker].find(import_id, phase)
    if user_import is None:
        raise errors.NothingToDo(f"the import no longer exists or is not {phase}")
    return user_import


def _batches(records: Iterator[Record], *, after: int) -> Iterator[list[Record]]:
    """Yield batches of rows above `after`, read outside any transaction. Raises UnreadableFile for too many rows."""
    rest = (record for record in records if record.number > after)
    while batch := list(islice(rest, BATCH)):
        if batch[-1].number > MAX_ROWS + 1:
            raise UnreadableFile(f"The file has more than {MAX_ROWS:,} rows. Split the file.")
        yield batch
