"""`flask new`: the folder of a new feature."""

import keyword
import re
import secrets
import shlex
import subprocess
import sys
from pathlib import Path
from string import Template

import click

from app.core.migration_state import newest_revision
from app.core.settings import ROOT

SCAFFOLD = Path(__file__).with_name("scaffold")
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
MAX_LENGTH = 30  # PostgreSQL cuts longer names of constraints.
# The order of imports depends on the name.
FORMATTERS = (
    ("ruff", "check", "-q", "--select", "I", "--fix", "app", "tests"),
    ("ruff", "format", "-q", "app", "tests", "migrations"),
)
# What writes the files that list all pages.
WRITERS = (
    ("tests.support.snapshot",),
    ("pytest", "-q", "tests/integration/test_permissions.py", "-k", "every_visitor", "--write-documents"),
)


@click.command()
@click.argument("name")
def new(name: str) -> None:
    """Write the folder of a new feature.

    NAME is a plural in snake_case, like saved_links. The development dependencies must be installed.
    """
    if not NAME.fullmatch(name) or keyword.iskeyword(name) or len(name) > MAX_LENGTH:
        raise click.BadParameter(f"use a plural in snake_case, at most {MAX_LENGTH} characters, like saved_links")
    if (ROOT / "app" / name).exists() or (ROOT / "tests" / name).exists():
        raise click.BadParameter(f"app/{name} or tests/{name} already exists")
    words = _words(name)
    for path, text in _files(name, words):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        click.echo(path.relative_to(ROOT))
    _add_line(ROOT / "app/features.py", f'    "{name}",\n', before=r'    "\w+",\n', after="FEATURES = (\n")
    _add_line(ROOT / "pyproject.toml", f"  | ({name}) \\\n", before=r"  \| \(\w+\) \\\n", after="  (api_keys) \\\n")
    _add_page(words)
    failed = [shlex.join(("python", "-m", *arguments)) for arguments in (*FORMATTERS, *WRITERS) if _fails(arguments)]
    if failed:
        raise click.ClickException(f"Run again what failed: {'; '.join(failed)}")
    click.echo("Added to app/features.py, pyproject.toml, tests/e2e/test_every_page.py, tests/snapshot.txt and")
    click.echo("docs/permissions.md. Next: flask db upgrade, and make check test-quick.")


def _fails(arguments: tuple[str, ...]) -> bool:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.DEVNULL).returncode != 0


def _words(name: str) -> dict[str, str]:
    """Return what the templates name: of `saved_links` the model `SavedLink`, the service `SavedLinks`."""
    singular = f"{name[:-3]}y" if name.endswith("ies") else name.removesuffix("s")
    model, service = ("".join(part.capitalize() for part in noun.split("_")) for noun in (singular, name))
    return {
        "name": name,
        "path": name.replace("_", "-"),
        "Title": name.replace("_", " ").capitalize(),
        "noun": singular.replace("_", " "),
        "Model": model,
        "Service": service if service != model else f"{service}Service",
        "previous": newest_revision(),
        "revision": secrets.token_hex(6),  # As Alembic names it; four digits are Gatehouse's own.
    }


def _files(name: str, words: dict[str, str]) -> list[tuple[Path, str]]:
    """Return the path and text of each new file."""
    special = {
        "page": (ROOT / "app" / name / "templates" / name / "index").with_suffix(".html"),
        "migration.py": ROOT / "migrations/versions" / f"{words['revision']}_{name}.py",
        "test.py": ROOT / "tests" / name / f"test_{name}.py",
    }
    templates = {template.name.removesuffix(".txt"): template for template in sorted(SCAFFOLD.iterdir())}
    return [
        (special.get(file, ROOT / "app" / name / file), Template(template.read_text()).substitute(words))
        for file, template in templates.items()
    ]


def _add_line(file: Path, line: str, *, before: str, after: str) -> None:
    """Add a line in order to the lines of the pattern `before`, which follow the text `after`."""
    head, separator, rest = file.read_text().partition(after)
    block = re.match(f"(?:{before})*", rest)
    lines = block[0].splitlines(keepends=True) if block else []
    tail = rest[len("".join(lines)) :]
    file.write_text(head + separator + "".join(sorted([*lines, line])) + tail)


def _add_page(words: dict[str, str]) -> None:
    """Add the page to those that the browser tests look at."""
    file = ROOT / "tests/e2e/test_every_page.py"
    line = 'opened("account.activity", "/account/activity", signed_in=True)\n'
    text = file.read_text()
    own = f'opened("{words["name"]}.index", "/{words["path"]}", signed_in=True)\n'
    file.write_text(text.replace(line, line + own, 1))
