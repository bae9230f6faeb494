"""`flask users import` and `flask users export`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import click

from app.core.principal import OPERATOR
from app.imports.display import COLUMNS, as_dict, exported, report_lines
from app.imports.models import Phase, UserImport
from app.imports.services.user_imports import MAX_FILE_BYTES, UserImports
from app.imports.services.worker import NARROWED
from app.imports.uploads import store
from app.unit_of_work import reading, unit_of_work
from app.users.commands import users
from app.users.services.search import UserFilter
from app.web.command_output import json_option, print_json
from app.web.exports import csv_lines
from app.web.progress_bar import follow_job

NAMES = {"new": "new", "changed": "changed", "unchanged": "unchanged", "refused": "refused"}
DONE = {"added": "added", "updated": "changed", "unchanged": "unchanged", "refused": "refused"}


@users.command(name="import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Show what each row would do, and stop.")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
@click.option("--invite", is_flag=True, help="Email each new user an invitation.")
@click.option("--report", type=click.File("w", encoding="utf-8"), help="Write the result of each row to this CSV file.")
@json_option
def import_users(file: Path, dry_run: bool, yes: bool, invite: bool, report: IO[str] | None, as_json: bool) -> None:
    """Import users from a CSV file.

    The columns are email, name and roles. A worker runs the import.
    """
    if file.stat().st_size > MAX_FILE_BYTES:
        raise click.ClickException(f"{file} has more than {MAX_FILE_BYTES // 1024**2} MB. Split the file.")
    with file.open("rb") as stream:
        file_id, lines = store(stream, name=file.name, owner_id=None)
    with unit_of_work() as work:
        user_import = work[UserImports].create_import(file_id, lines=lines, by=OPERATOR)
    user_import = _followed(user_import, "Checking", Phase.CHECKED)
    has_work = bool(user_import.checked.get("new") or user_import.checked.get("changed"))
    if not as_json:
        _print_summary(user_import, user_import.checked, NAMES)
    if has_work and not dry_run and (yes or click.confirm("Start the import?", err=True)):
        with unit_of_work() as work:
            user_import = work[UserImports].start_import(user_import.id, invites=invite, by=OPERATOR)
        user_import = _followed(user_import, "Importing", Phase.DONE)
        if not as_json:
            _print_summary(user_import, user_import.applied, DONE)
    if as_json:
        print_json(as_dict(reading(), user_import))
    if report is not None:
        report.writelines(report_lines(reading(), user_import.id))


@users.command(name="export")
@click.argument("file", type=click.File("w", encoding="utf-8", lazy=True), default="-")
def export_users(file: IO[str]) -> None:
    """Export all users as CSV.

    Writes to FILE or standard output, with the columns of an import.
    """
    file.writelines(csv_lines(COLUMNS, _all()))


def _all() -> Iterator[tuple[Any, ...]]:
    return map(exported, reading().user_search.walk(UserFilter(order="created_at", descending=False)))


def _followed(user_import: UserImport, label: str, phase: Phase) -> UserImport:
    """Return the import after its job. Raises ClickException if it did not reach `phase`."""
    job = follow_job(user_import.job_id or 0, label=label)
    user_import = reading()[UserImports].get(user_import.id, by=OPERATOR)
    if user_import.phase != phase:
        raise click.ClickException(
            user_import.problem or f"The job ended {job.state}: {job.outcome or 'see flask jobs show'}."
        )
    return user_import


def _print_summary(user_import: UserImport, counts: dict[str, int], names: dict[str, str]) -> None:
    click.echo(", ".join(f"{counts.get(key, 0):,} {text}" for key, text in names.items()))
    narrowing = {number for number, kind in user_import.examples if kind == NARROWED}
    for row in reading()[UserImports].list_examples(user_import):
        if row.outcome == "refused" or row.number in narrowing:
            click.echo(f"  row {row.number}: {row.email or 'no email'}: {row.reason}")
    if counts.get("new") and reading().registration_mode == "closed":
        click.echo("Sign-up is closed. The import still creates these accounts.")
    sys.stdout.flush()
