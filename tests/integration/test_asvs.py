"""`docs/asvs.md` matches the product, and tests for requirements of OWASP ASVS 5.0 that no other test covers."""

import re

from app.core.settings import ROOT

LINE = re.compile(r"^\| (V[\d.]+) \| [12] \| [^|]+ \| (.+) \|$", re.MULTILINE)
LINES = 208  # Requirements of levels 1 and 2, except those about absent technology (GraphQL, WebSocket, WebRTC).


def sources(folder):
    return "\n".join(file.read_text() for file in sorted((ROOT / folder).rglob("*.py")))


def test_evidence_of_each_asvs_line_exists():
    code, tests = sources("app"), sources("tests")
    lines = LINE.findall((ROOT / "docs/asvs.md").read_text())
    assert len({name for name, _ in lines}) == len(lines) == LINES
    named = {name for _, shown_by in lines for name in re.findall(r"`([^`]+)`", shown_by)}
    assert all("`" in shown_by or "](" in shown_by for _, shown_by in lines)
    there = set(re.findall(r"^(?:def|class) (\w+)|^(\w+) =", code, re.MULTILINE))
    there = {name for pair in there for name in pair} | set(re.findall(r"^def (test_\w+)", tests, re.MULTILINE))
    assert named - there - {"make check"} == set()


def test_scripts_use_no_storage_unsafe_markup_or_prototype_access():
    scripts = {file.name: file.read_text() for file in (ROOT / "app/static").glob("*.js")}
    assert len(scripts) > 2
    forbidden = re.compile(
        r"localStorage|sessionStorage|indexedDB|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b"
        r"|new Function|__proto__|\.prototype\b"
    )
    assert {name: forbidden.findall(text) for name, text in scripts.items() if forbidden.search(text)} == {}
    vendored = "".join(file.read_text() for file in (ROOT / "app/static/vendor").rglob("*.js"))
    assert not re.search(r"localStorage|sessionStorage|indexedDB", vendored)
