"""Templates in `instance/templates` that replace ours: checked when the application starts."""

from __future__ import annotations

from pathlib import Path

from flask import Flask
from jinja2 import TemplateError, TemplateSyntaxError

from app.emails.samples import SAMPLES
from app.settings import SettingsError


def init_app(app: Flask) -> None:
    """Raises SettingsError with the file, the line and what is wrong there."""
    folder = Path(app.instance_path) / "templates"
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix in {".html", ".txt"})
    for name in names:
        try:
            app.jinja_env.get_template(name)
        except TemplateSyntaxError as problem:
            raise SettingsError(f"{folder / name}, line {problem.lineno}: {problem.message}") from None
    if any(name.startswith("emails/") for name in names):
        _check_mails(app, folder)


def _check_mails(app: Flask, folder: Path) -> None:
    """Every mail is rendered with made-up values: one that cannot be would be missed only when it should be sent."""
    with app.app_context():
        for kind, sample in SAMPLES.items():
            try:
                sample()
            except (TemplateError, TypeError, ValueError) as problem:
                raise SettingsError(f"{folder}/emails: the mail {kind} cannot be made: {problem}") from None
