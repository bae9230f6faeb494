"""`flask backup` and `flask restore`: one ZIP file with all rows and the files of the instance folder.

Each table is a file with one JSON array per row, so a backup of SQLite can be restored into PostgreSQL and vice versa.
`manifest.json` contains the migration of the rows.
"""

import base64
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, cast
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

import click
from flask.cli import with_appcontext
from flask_migrate import upgrade
from sqlalchemy import (
    JSON,
    Connection,
    LargeBinary,
    Table,
    Update,
    column,
    delete,
    func,
    insert,
    inspect,
    select,
    table,
    text,
    update,
)
from sqlalchemy.types import NullType, TypeEngine

from app.core.database import one_write
from app.core.extensions import db, now, settings
from app.core.migration_state import current_revision, known_revisions, newest_revision, schema_state
from app.core.models import Base, UtcTime
from app.ops.migrations import init_migrate
from app.statistics.service import Statistics
from app.unit_of_work import unit_of_work

FORMAT = 1
BATCH = 1000
KINDS: dict[str, TypeEngine[Any]] = {
    "time": UtcTime(),
    "bytes": LargeBinary(),
    "json": JSON(none_as_null=True),
    "plain": NullType(),
}
Described = dict[str, Any]


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@with_appcontext
def backup(file: Path) -> None:
    """Back up the database and the instance folder to FILE.

    The site can run meanwhile. Only the owner of FILE can read it, because it contains all data.
    """
    with _sentences(file):
        if file.exists():
            raise click.ClickException(f"{file} already exists. Choose another name.")
    if schema_state() != ("ok", "ok"):
        raise click.ClickException("The database is not at this version's schema. Run `flask db upgrade`.")
    with _sentences(file), _new_file(file) as archive, _one_moment() as connection:
        tables = [_save(archive, connection, source) for source in Base.metadata.sorted_tables]
        files = [*_save_files(archive)]
        manifest = {
            "format": FORMAT,
            "made_at": now().isoformat(),
            "release": settings().release,
            "revision": newest_revision(),
            "tables": tables,
            "files": files,
        }
        archive.writestr("manifest.json", json.dumps(manifest, indent=2))
    with unit_of_work() as work:
        work[Statistics].note_backup()
    rows = sum(table_info["rows"] for table_info in tables)
    click.echo(
        f"Saved {rows:,} rows and {len(files):,} of the instance's files to {file} ({file.stat().st_size:,} bytes)."
    )


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@with_appcontext
def restore(file: Path) -> None:
    """Restore FILE into an empty database and instance folder.

    Migrates the database to this version. Signs everyone out, because revoked sessions must not come back.
    """
    with _sentences(file), ZipFile(file) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        _check_fits(manifest)
        init_migrate()
        upgrade(revision=manifest["revision"])
        with one_write().begin() as connection:
            for table_info in reversed(manifest["tables"]):
                connection.execute(delete(table(table_info["name"])))
            for table_info in manifest["tables"]:
                _load(archive, connection, table_info)
            count = connection.execute(_end_sessions()).rowcount
        upgrade()
        for name in manifest["files"]:
            _write(settings().instance_path / name, archive.read(f"files/{name}"))
    with unit_of_work() as work:
        if count:
            work.audit.record("session.ended_all", subject_id=None, reason="restored", count=count)
        work.audit.record("site.restored", subject_id=None, made_at=manifest["made_at"])
    rows = sum(table_info["rows"] for table_info in manifest["tables"])
    click.echo(
        f"Restored {rows:,} rows and {len(manifest['files']):,} of the instance's files, of {manifest['made_at']}."
    )


@contextmanager
def _sentences(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise click.ClickException(f"{file}: {problem.strerror or problem}.") from None
    except (BadZipFile, KeyError, ValueError) as problem:
        raise click.ClickException(f"{file} is not a whole backup: {problem}.") from None


# ── saving ──


@contextmanager
def _new_file(file: Path) -> Iterator[ZipFile]:
    """Open a ZIP file that gets its name once it is complete and on disk."""
    handle, partial = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(handle, "w+b") as target:
            with ZipFile(target, "w", ZIP_DEFLATED) as archive:
                yield archive
            target.flush()
            os.fsync(target.fileno())
        Path(partial).rename(file)
    finally:
        Path(partial).unlink(missing_ok=True)


@contextmanager
def _one_moment() -> Iterator[Connection]:
    """Yield a connection whose statements all see the same state; it blocks no one."""
    engine = db.engine
    if engine.dialect.name == "postgresql":
        engine = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with engine.connect() as connection:
        yield connection.execution_options(yield_per=BATCH)


def _save(archive: ZipFile, connection: Connection, saved: Table) -> Described:
    kinds = {column.name: _kind(column.type) for column in saved.columns}
    count = 0
    with archive.open(_member(saved.name), "w", force_zip64=True) as lines:
        for row in connection.execute(select(saved).order_by(*saved.primary_key)):
            lines.write(json.dumps([*map(_plain, row)], ensure_ascii=False).encode() + b"\n")
            count += 1
    return {"name": saved.name, "columns": kinds, "rows": count, "last_id": _last_id(connection, saved)}


def _member(name: str) -> str:
    return f"rows/{name}.jsonl"


def _kind(kind: TypeEngine[Any]) -> str:
    return next((name for name, sample in KINDS.items() if isinstance(kind, type(sample))), "plain")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _last_id(connection: Connection, saved: Table) -> int | None:
    """Return the last assigned id, so that no id is assigned twice, or None if the database stores none."""
    if "id" not in saved.columns:
        return None
    if connection.dialect.name == "sqlite":
        query = connection.execute(text("SELECT seq FROM sqlite_sequence WHERE name = :name"), {"name": saved.name})
        return cast("int | None", query.scalar())
    sequence = _sequence(connection, saved.name)
    if sequence is None:
        return None
    last, was_given = connection.execute(text(f"SELECT last_value, is_called FROM {sequence}")).one()  # noqa: S608
    return cast(int, last) if was_given else None


def _sequence(connection: Connection, name: str) -> str | None:
    return connection.scalar(select(func.pg_get_serial_sequence(name, "id")))


def _save_files(archive: ZipFile) -> Iterator[str]:
    """Save the generated key and custom files."""
    folder = settings().instance_path
    own = [path for name in ("static", "templates") for path in sorted((folder / name).rglob("*"))]
    for path in (folder / "secret_key", *own):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            archive.write(path, f"files/{name}")
            yield name


# ── restoring ──


def _check_fits(manifest: Described) -> None:
    """Raises ClickException unless this release can put it here, and nothing here would be lost."""
    if manifest["format"] != FORMAT or manifest["revision"] not in known_revisions():
        raise click.ClickException(
            f"This backup was created by a newer release ({manifest['release'] or manifest['revision']}); use that one."
        )
    if inspect(db.engine).has_table("users"):
        with db.engine.connect() as connection:
            used = [
                connection.scalar(select(func.count()).select_from(table(name))) for name in ("users", "audit_events")
            ]
        if any(used):
            raise click.ClickException("The database is not empty. Restore into an empty one.")
        if (current := current_revision()) not in {None, manifest["revision"]}:
            raise click.ClickException(
                f"The database's schema is {current}, the backup's {manifest['revision']}. Restore into an empty one."
            )
    folder = settings().instance_path.resolve()
    for name in manifest["files"]:
        if not (folder / name).resolve().is_relative_to(folder):
            raise click.ClickException(f"{name} is not a file of an instance folder.")
        if name != "secret_key" and (folder / name).exists():
            raise click.ClickException(f"{folder / name} already exists. Restore into an empty instance folder.")


def _load(archive: ZipFile, connection: Connection, saved: Described) -> None:
    kinds = saved["columns"]
    into = insert(table(saved["name"], *(column(name, KINDS[kind]) for name, kind in kinds.items())))
    count = 0
    with archive.open(_member(saved["name"])) as lines:
        while batch := [_row(line, kinds) for line in islice(lines, BATCH)]:
            connection.execute(into, batch)
            count += len(batch)
    if count != saved["rows"]:
        raise ValueError(f"{saved['name']} has {count} rows instead of {saved['rows']}")
    _go_on_after(connection, saved)


def _end_sessions() -> Update:
    """End all sessions, using only columns that every revision has, because the schema is still the backup's."""
    sessions = table("sessions", column("ended_at", UtcTime()), column("end_reason"))
    return update(sessions).where(sessions.c.ended_at.is_(None)).values(ended_at=now(), end_reason="restored")


def _row(line: bytes, kinds: dict[str, str]) -> dict[str, Any]:
    return {name: _value(value, kinds[name]) for name, value in zip(kinds, json.loads(line), strict=True)}


def _value(value: Any, kind: str) -> Any:
    if value is None or kind in {"json", "plain"}:
        return value
    return datetime.fromisoformat(value) if kind == "time" else base64.b64decode(value)


def _go_on_after(connection: Connection, saved: Described) -> None:
    """Set the next id above all restored ids and the last assigned one.

    SQLite stores the last id only for tables that never reuse one.
    """
    name = saved["name"]
    if "id" not in saved["columns"]:
        return
    highest = connection.scalar(select(func.max(column("id"))).select_from(table(name)))
    last = max(saved["last_id"] or 0, highest or 0)
    if not last:
        return
    if connection.dialect.name == "sqlite":
        # A table that reuses ids continues after the highest by itself; a row here does no harm.
        connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), {"name": name})
        connection.execute(text("INSERT INTO sqlite_sequence VALUES (:name, :last)"), {"name": name, "last": last})
    elif sequence := _sequence(connection, name):
        connection.scalar(select(func.setval(sequence, last)))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
