"""Folders and what they declare."""

import pytest
from werkzeug.utils import import_string

from app.core.feature import Feature, Features
from app.core.settings import ROOT
from app.features import CORE, FEATURES, load_features

# They add nothing, or only in development.
OTHER_FOLDERS = {"core", "dev", "web"}


def test_every_folder_is_listed_once():
    folders = {path.parent.name for path in (ROOT / "app").glob("*/__init__.py")}

    assert sorted([*CORE, *FEATURES, *OTHER_FOLDERS]) == sorted(folders)
    assert list(load_features().active) == [*CORE, *FEATURES]


def test_commands_and_checks_exist():
    features = load_features()

    for place in [*features.commands.values(), *features.checks]:
        assert callable(import_string(place)), place


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [
        ({"name": "notes"}, {"name": "notes"}, "notes"),
        ({"name": "notes", "commands": {"note": "a:b"}}, {"name": "memos", "commands": {"note": "c:d"}}, "note"),
        ({"name": "notes", "audit_texts": {"n.w": "."}}, {"name": "memos", "audit_texts": {"n.w": "!"}}, "n.w"),
    ],
)
def test_name_that_two_features_declare_stops_the_start(first, second, name):
    with pytest.raises(ValueError, match=f"two features declare {name}"):
        Features([Feature(**first), Feature(**second)])
