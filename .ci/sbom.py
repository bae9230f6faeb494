"""Print what an installation of requirements.txt with this Python consists of, as CycloneDX 1.6 JSON (ECMA-424).

Versions are the pins'; licences and dependencies are what the installed distributions declare. The system that Python
itself comes from is not in it.
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, metadata, requires
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PIN = re.compile(r"^[\w.-]+(?:\[.*\])?==[^\\]+", re.MULTILINE)


def bom(text: str) -> Bom:
    """The bill of materials of the pins in `text`."""
    root = Component(name="gatehouse", type=ComponentType.APPLICATION, bom_ref="gatehouse")
    pins = [Requirement(pin) for pin in PIN.findall(text)]
    parts = {
        canonicalize_name(pin.name): _component(pin.name, str(pin.specifier).removeprefix("=="))
        for pin in pins
        if pin.marker is None or pin.marker.evaluate()
    }
    found = Bom(components=parts.values())
    found.metadata.component = root
    found.register_dependency(root, parts.values())
    for name, component in parts.items():
        found.register_dependency(component, [parts[each] for each in _needs(name) if each in parts])
    return found


def _component(name: str, version: str) -> Component:
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{canonicalize_name(name)}=={version}",
        purl=PackageURL("pypi", name=canonicalize_name(name), version=version),
        licenses=_licenses(name),
    )


def _licenses(name: str) -> list[object]:
    try:
        declared = metadata(name)
    except PackageNotFoundError:  # It is for another platform or version of Python.
        return []
    approved = [text for text in declared.get_all("Classifier", []) if text.startswith("License ::")]
    short = [
        text for text in (declared.get("License-Expression"), declared.get("License")) if text and "\n" not in text
    ]
    text = next(iter([*short, *(each.rpartition(" :: ")[2] for each in approved)]), "")
    return [LicenseFactory().make_from_string(text)] if text else []


def _needs(name: str) -> list[str]:
    try:
        return [canonicalize_name(Requirement(text).name) for text in requires(name) or []]
    except PackageNotFoundError:
        return []


if __name__ == "__main__":
    print(JsonV1Dot6(bom((ROOT / "requirements.txt").read_text())).output_as_string(indent=2))
