"""Files in `instance/templates` and `instance/static` that replace ours; templates are checked at the start."""

from pathlib import Path

from flask import Flask, Response, g, send_file
from jinja2 import TemplateError, TemplateSyntaxError
from werkzeug.security import safe_join

from app.core.settings import SettingsError
from app.mail.kinds import EmailKind
from app.mail.rendering import sample


def init_app(app: Flask) -> None:
    """Check overriding templates. Raises SettingsError with the file, the line and the problem."""
    own_files = Path(app.instance_path) / "static"
    our_file = app.send_static_file

    def send_static_file(filename: str) -> Response:
        if (path := find_own_file(own_files, filename)) is not None:
            return send_file(path, max_age=app.get_send_file_max_age(filename))
        return our_file(filename)

    app.send_static_file = send_static_file  # type: ignore[method-assign]
    folder = Path(app.instance_path) / "templates"
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix in {".html", ".txt"})
    for name in names:
        try:
            app.jinja_env.get_template(name)
        except TemplateSyntaxError as problem:
            raise SettingsError(f"{folder / name}, line {problem.lineno}: {problem.message}") from None
    if any(name.startswith("emails/") for name in names):
        _check_mails(app, folder)


def find_own_file(folder: Path, name: str) -> Path | None:
    """Return the file of this name in `instance/static`, if there is one."""
    path = safe_join(str(folder), name)
    return Path(path) if path is not None and Path(path).is_file() else None


def _check_mails(app: Flask, folder: Path) -> None:
    """Render every email with sample values, so that a broken template is found at the start."""
    with app.app_context():
        g.asks_nothing = True
        for kind in EmailKind.list_kinds():
            try:
                sample(kind)
            except (TemplateError, TypeError, ValueError) as problem:
                raise SettingsError(f"{folder}/emails: the mail {kind.template} cannot be made: {problem}") from None
