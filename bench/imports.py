"""An import of users, beside one `executemany` of the same rows into the same table."""

from __future__ import annotations

import csv
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from bench.figure import Effort, Figure
from bench.workspace import ROOT, Workspace

INSERT = """
INSERT INTO users (email, name, is_active, created_at, updated_at) VALUES (?, ?, 1, :now, :now)
""".replace(":now", "'2026-01-01 00:00:00'")
TIMES = "SELECT started_at, finished_at FROM jobs WHERE kind IN ('check_user_import', 'apply_user_import')"


def imported(_: Workspace, effort: Effort) -> Iterator[Figure]:
    """New users, checked and applied by one worker: the time of its two jobs."""
    rows = [(f"someone{number}@example.com", f"Person Number{number}") for number in range(effort.imported)]
    with Workspace() as bare:
        baseline = insert(bare.database, rows)
    with Workspace() as ours:
        yield Figure(
            f"an import of {effort.imported:,} new users",
            "s",
            baseline,
            run_import(ours, rows),
            target=3,
            more_is_better=False,
        )


def insert(file: Path, rows: list[tuple[str, str]]) -> float:
    database = sqlite3.connect(file)
    began = time.perf_counter()
    with database:
        database.executemany(INSERT, rows)
    seconds = time.perf_counter() - began
    database.close()
    return seconds


def run_import(workspace: Workspace, rows: list[tuple[str, str]]) -> float:
    people = workspace.folder / "people.csv"
    with people.open("w", newline="") as file:
        csv.writer(file).writerows([("email", "name", "roles"), *((*row, "member") for row in rows)])
    worker = subprocess.Popen(
        [sys.executable, "-m", "flask", "jobs", "worker", "--processes", "1"],
        cwd=ROOT,
        env=workspace.environment,
        stderr=subprocess.DEVNULL,
    )
    try:
        workspace.run([sys.executable, "-m", "flask", "users", "import", str(people), "--yes"])
    finally:
        worker.terminate()
        worker.wait()
    database = sqlite3.connect(workspace.database)
    times = database.execute(TIMES).fetchall()
    (added,) = database.execute("SELECT count(*) FROM users").fetchone()
    database.close()
    assert added == len(rows), f"only {added} of {len(rows)} people were added"
    return sum((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds() for start, end in times)
