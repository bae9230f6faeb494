"""`flask new` writes a feature that passes the checks and the tests as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.tree import copy_of_the_tree, run

CHECKS = ("ruff check .", "ruff format --check .", "mypy", "lint-imports")
QUICK = "not deep and not slow and not browser and not postgresql"


@pytest.mark.slow
@pytest.mark.deep
@pytest.mark.parametrize("name", ["saved_links", "bookmarks"])
def test_new_feature_passes_as_generated(name: str, tmp_path: Path) -> None:
    tree = copy_of_the_tree(tmp_path / "gatehouse")

    run(f".venv/bin/flask new {name}", tree)

    for check in CHECKS:
        run(f".venv/bin/{check}", tree)
    tests = f"tests/unit tests/integration tests/{name}" if name == "saved_links" else f"tests/{name}"
    run(f'.venv/bin/python -m pytest -q -p no:cacheprovider -m "{QUICK}" {tests}', tree)


@pytest.mark.parametrize("name", ["Saved", "saved-links", "users", "class", "x" * 31, "1st", ""])
def test_unusable_names_are_refused(flask, name):
    refused = flask("new", name)

    assert refused.exit_code == 2
    assert "snake_case" in refused.output or "already exists" in refused.output
