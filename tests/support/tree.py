"""Copies of the tree, for tests that change it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from app.core.settings import ROOT

LEFT_BEHIND = shutil.ignore_patterns("__pycache__", "*.pyc")
PATIENCE_SECONDS = 900
# Commands of the guide must not inherit this run's environment or be measured.
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "XDG_RUNTIME_DIR")


def copy_of_the_tree(place: Path) -> Path:
    """Copy what is needed to run and test, and use this run's environment."""
    place.mkdir()
    for folder in (".ci", ".github", "app", "docs", "migrations", "ops", "tests"):
        shutil.copytree(ROOT / folder, place / folder, ignore=LEFT_BEHIND)
    for file in ROOT.iterdir():
        if file.is_file() and file.name != ".env" and not file.name.startswith(".coverage"):
            shutil.copy(file, place)
    (place / ".venv").symlink_to(sys.prefix)
    return place


def run(command: str, tree: Path) -> None:
    """Run a command in the tree. A pytest gets a temporary folder of its own: each one closes that of all others to
    other users, and PostgreSQL, which is another one, starts from there.
    """
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.run(
            shlex.split(command),
            cwd=tree,
            env=environment | {"PYTEST_DEBUG_TEMPROOT": folder},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    assert process.returncode == 0, f"{command}\n{process.stdout}{process.stderr}"


def delete_feature(name: str, tree: Path) -> None:
    """Delete a feature's folder, its tests and its line in the list of features."""
    shutil.rmtree(tree / "app" / name)
    shutil.rmtree(tree / "tests" / name, ignore_errors=True)
    listed = tree / "app" / "features.py"
    lines = listed.read_text()
    assert lines.count(f'    "{name}",\n') == 1
    listed.write_text(lines.replace(f'    "{name}",\n', ""))
