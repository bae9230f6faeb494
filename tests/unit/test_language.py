"""Plain language: phrases that do not belong in pages, emails, commands, code and docs."""

import re
from pathlib import Path

from app.core.settings import ROOT

PHRASES = re.compile(
    r"all is well|[Ww]as it you\?|[Ii]t was you\?|from now on|\bany more\b(?! \w)|\bno more\b(?! \w)|[Ww]hoever|\b[Ss]omebody|[Ee]verybody|\bof theirs\b"
    r"|\bmade-up\b|\b(?:is|are|was|were) told\b|\b[Oo]ne's own\b|\bmay they\b|\bis nobody's\b|\bword of it\b|\bdead codes?\b"
)
SUFFIXES = {".py", ".html", ".txt", ".js", ".css", ".yml", ".service", ".md"}
LEFT_OUT = {"vendor", "node_modules", "fixtures"}
FILES = sorted(
    path
    for folder in ("app", "bench", "ops", "tests", "docs")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in SUFFIXES and not LEFT_OUT & set(path.parts) and path.name != Path(__file__).name
) + [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", ".env.example", "Makefile", "Dockerfile")]


def test_language_is_plain():
    lines = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in FILES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if PHRASES.search(line)
    ]
    assert lines == []


def test_templates_have_no_long_lines_tabs_or_trailing_spaces():
    lines = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in (ROOT / "app").rglob("templates/**/*.html")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > 120 or "\t" in line or line != line.rstrip()
    ]
    assert lines == []
