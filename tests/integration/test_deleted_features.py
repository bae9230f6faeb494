"""Each feature can be deleted with its folder, its tests and its line in `app/features.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.features import FEATURES
from tests.support.tree import copy_of_the_tree, delete_feature, run


@pytest.mark.slow
@pytest.mark.deep
@pytest.mark.parametrize("name", FEATURES)
def test_application_works_without(name: str, tmp_path: Path) -> None:
    """Import everything, migrate an empty database, render every page, collect the other tests."""
    tree = copy_of_the_tree(tmp_path / "gatehouse")
    delete_feature(name, tree)

    run(".venv/bin/python -m tests.support.every_page", tree)
    run(".venv/bin/python -m pytest --collect-only -qq -p no:cacheprovider", tree)
