import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / ".ci" / "check_pins.py"
spec = importlib.util.spec_from_file_location("check_pins", PATH)
assert spec is not None
assert spec.loader is not None
check_pins = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_pins)

LOCK = "coverage[toml]==7.17.3 \\\n    --hash=sha256:00\npsycopg[binary,pool]==3.3.9\nFlask_WTF==1.3 ; python_version > '3'\n"


def test_pins_are_read_with_their_extras():
    assert check_pins.read_pins(LOCK) == {
        "coverage": ("7.17.3", {"toml"}),
        "psycopg": ("3.3.9", {"binary", "pool"}),
        "flask-wtf": ("1.3", frozenset()),
    }


@pytest.mark.parametrize(
    ("requirement", "missing"),
    [
        ("coverage[toml]>=7.10", False),
        ("coverage>=7.10", False),
        ("psycopg[binary]>=3.3", False),
        ("flask-wtf[email]>=1.3", True),
        ("coverage>=8", True),
        ("flask", True),
    ],
)
def test_requirement_is_pinned_with_version_and_extras(requirement, missing):
    assert check_pins.not_pinned([requirement], check_pins.read_pins(LOCK)) == [requirement] * missing


def test_extras_of_installed_distributions_are_found():
    assert any(
        requirement.startswith("coverage[toml]")
        for requirement in check_pins.extras_asked_for("pytest-cov", frozenset())
    )
    assert check_pins.extras_asked_for("flask", frozenset()) == []
    assert check_pins.extras_asked_for("not-installed-anywhere", frozenset()) == []
