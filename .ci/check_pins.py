"""Fail when a dependency of pyproject.toml, or an extra that an installed distribution asks for, is not in the lock."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
Pins = dict[str, tuple[str, frozenset[str]]]


def read_pins(text: str) -> Pins:
    """`name[extra,...]==version` lines, as name -> (version, extras)."""
    found = re.findall(r"^([\w.-]+)(?:\[([\w.,-]+)\])?==([^\s;\\]+)", text, re.MULTILINE)
    return {canonicalize_name(name): (version, frozenset(extras.split(",")) - {""}) for name, extras, version in found}


def not_pinned(wanted: Iterable[str], pins: Pins) -> list[str]:
    """The requirements that no pin satisfies, extras included."""
    return [text for text in wanted if not _satisfies(Requirement(text), pins)]


def _satisfies(wanted: Requirement, pins: Pins) -> bool:
    version, extras = pins.get(canonicalize_name(wanted.name), ("", frozenset()))
    return bool(version) and wanted.specifier.contains(version) and wanted.extras <= extras


def extras_asked_for(name: str, extras: frozenset[str]) -> list[str]:
    """What the installed `name[extras]` requires with an extra; pip before 24 looks for these apart from the pin."""
    try:
        asked = [Requirement(text) for text in requires(name) or []]
    except PackageNotFoundError:
        return []  # Its marker leaves it out on this platform.
    environments = [{"extra": extra} for extra in (extras or {""})]
    return [
        str(each)
        for each in asked
        if each.extras and (each.marker is None or any(each.marker.evaluate(one) for one in environments))
    ]


def main() -> str | None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    run, test = (read_pins((ROOT / name).read_text()) for name in ("requirements.txt", "requirements-dev.txt"))
    wrong = not_pinned(project["project"]["dependencies"], run) + not_pinned(project["dependency-groups"]["dev"], test)
    for name, (_, extras) in test.items():
        wrong += [f"{each} (asked for by {name})" for each in not_pinned(extras_asked_for(name, extras), test)]
    wrong += [f"{name} of requirements.txt in requirements-dev.txt" for name in run if test.get(name) != run[name]]
    if wrong:
        return "Not pinned, run make lock: " + ", ".join(wrong)
    print(f"Every dependency is pinned ({len(test)} in all).")
    return None


if __name__ == "__main__":
    sys.exit(main())
