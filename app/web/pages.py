"""Rendering pages."""

import hashlib
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from flask import Flask, Response, g, make_response, render_template, url_for
from jinja2 import FileSystemLoader
from markupsafe import Markup, escape
from sqlalchemy.exc import SQLAlchemyError

from app.audit.descriptions import sentence
from app.core import errors, lengths
from app.core.extensions import features, now, settings
from app.core.settings import ROOT, CoreSettings
from app.core.user_agents import device_name
from app.site.current import brand, site
from app.site.service import Site
from app.unit_of_work import reading
from app.users.models import USER_FIELDS
from app.users.permissions import PERMISSIONS
from app.users.time_zones import local_time
from app.web.application import Environment
from app.web.csrf import csrf_token
from app.web.current_user import principal
from app.web.forms import Form, draw_input
from app.web.navigation import admin_pages
from app.web.parts import BANNER, load_parts
from app.web.session_cookie import theme
from app.web.template_overrides import find_own_file
from app.web.viewer import viewer_zone, zone_cookie_name

SOME_ID = 7_000_000_000_000_000_007  # In no other part of a URL.
JOBS_SHOULD_START_WITHIN = timedelta(seconds=10)


def init_app(app: Flask, settings: CoreSettings) -> None:
    overridden = Path(app.instance_path) / "templates"
    app.jinja_env.loader = FileSystemLoader([overridden, *template_folders()])
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        moment=moment, ago=ago, device=device_name, sentence=sentence, provider_label=provider_label
    )
    addresses = Addresses(app, files_change=settings.is_development)
    environment = cast(Environment, app.jinja_env)
    environment.globals.update(site=deployed(settings), asset=addresses.file, url_for=addresses.page)
    environment.globals.update(draw_input=draw_input, lengths=lengths, user_fields=USER_FIELDS)
    permissions = {name.upper().replace(":", "_").replace("-", "_"): name for name in PERMISSIONS}
    environment.globals.update(permissions, may=may, theme=theme, admin_pages=admin_pages)
    for name in ("site_pages", "account_pages"):
        environment.globals[name] = [page[:2] for page in getattr(app.extensions["features"], name)]
    environment.constants = {"site", "url_for", "lengths", "site_pages", "account_pages", *permissions}
    if not settings.is_development:
        environment.constants.add("asset")
    app.context_processor(_everywhere)


def template_folders() -> list[Path]:
    """Return the folders of our templates: each folder of the application may have its own."""
    return [ROOT / "app" / "templates", *sorted((ROOT / "app").glob("*/templates"))]


def page(
    template: str, form: Form | None = None, *, status: int | None = None, retry_after: int | None = None, **values: Any
) -> Response:
    """Render; a refused form answers 422 with what was typed still in it, and says if its token had expired."""
    if form is not None and g.get("shows_again"):
        form.form_errors = [g.shows_again]
    if form is not None and form.try_later is not None:
        status = 503 if isinstance(form.try_later, errors.Busy) else 429
        retry_after = form.try_later.retry_after
    refused = form is not None and form.is_refused() and not g.get("shows_again")
    if refused:
        g.setdefault("refused_as", errors.InvalidInput.code)
    response = make_response(render_template(template, form=form, **values), status or (422 if refused else 200))
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


def may(permission: str) -> bool:
    """Return whether the signed-in user has a permission, for templates: `may(USERS_READ)`.

    Raises KeyError for a permission that is not declared.
    """
    PERMISSIONS[permission]
    who = principal()
    return who is not None and who.has(permission)


def _everywhere() -> dict[str, Any]:
    # An error page must not use parts that may have failed.
    asks = not g.get("asks_nothing")
    site_settings = site() if asks else g.get("site", Site())
    who = principal() if asks else None
    return {
        "principal": who,
        "banners": load_parts(BANNER, reading(), who) if who else [],
        "csrf_token": csrf_token,
        "request_id": g.get("request_id"),
        "brand": brand(),
        "zone_cookie": zone_cookie_name,
        "announcement": site_settings.announcement,
        "registration": site_settings.registration or settings().registration,
        "waiting_jobs": _waiting_jobs() if asks and settings().is_development else 0,
    }


def provider_label(name: str) -> str:
    """Return the label of a sign-in provider, also of one that is no longer set up."""
    return features().label_methods().get(name, name)


def deployed(config: CoreSettings) -> SimpleNamespace:
    """Return what is the same on every page while the application runs; see `brand` for the rest."""
    return SimpleNamespace(
        has_own_logo=find_own_file(config.instance_path / "static", "logo.svg") is not None,
        terms_url=config.terms_url or None,
        privacy_url=config.privacy_url or None,
        password_min_length=config.password_min_length,
        environment=config.environment,
        is_development=config.is_development,
    )


def _waiting_jobs() -> int:
    try:
        return reading().job_queue.count_overdue(by=JOBS_SHOULD_START_WITHIN)
    except SQLAlchemyError:
        return 0


class Addresses:
    """URLs for templates. Those that are the same on every page are built once: the mount path never changes."""

    def __init__(self, app: Flask, *, files_change: bool) -> None:
        self._static, self._own = Path(app.static_folder or ""), Path(app.instance_path) / "static"
        self._files_change = files_change
        self._pages: dict[str, str] = {}
        self._patterns: dict[tuple[str, str], str] = {}
        self._files: dict[str, str] = {}

    def page(self, endpoint: str, **values: Any) -> str:
        """Return the URL of an endpoint, for templates."""
        if len(values) == 1 and not endpoint.startswith("."):
            ((name, value),) = values.items()
            if type(value) is int and value > 0:
                return self._with_id(endpoint, name).format(value)
        if values or endpoint.startswith("."):
            return url_for(endpoint, **values)
        if endpoint not in self._pages:
            self._pages[endpoint] = url_for(endpoint)
        return self._pages[endpoint]

    def _with_id(self, endpoint: str, name: str) -> str:
        """Return the URL of an endpoint with `{}` for the number `name`: lists build it for every row."""
        if (endpoint, name) not in self._patterns:
            some: dict[str, Any] = {name: SOME_ID}
            url = url_for(endpoint, **some).replace("{", "{{").replace("}", "}}")
            self._patterns[endpoint, name] = url.replace(str(SOME_ID), "{}")
        return self._patterns[endpoint, name]

    def file(self, name: str) -> str:
        """Return the URL of a static file with its content's hash, so that browsers can cache it permanently."""
        if name not in self._files or self._files_change:
            content = (find_own_file(self._own, name) or self._static / name).read_bytes()
            self._files[name] = url_for("static", filename=name, v=hashlib.sha256(content).hexdigest()[:12])
        return self._files[name]


def moment(at: datetime | None) -> str | Markup:
    """Format a time like `12 Nov 2026, 14:05 CET`, in the reader's time zone, as a <time> element."""
    if at is None:
        return ""
    shown = escape(local_time(at, viewer_zone()))
    return Markup(f'<time datetime="{at.isoformat(timespec="seconds")}">{shown}</time>')  # noqa: S704


def ago(at: datetime | None) -> str | Markup:
    """Format a time like `3 minutes ago`, with the full time in the title."""
    if at is None:
        return "never"
    iso, shown = at.isoformat(timespec="seconds"), escape(local_time(at, viewer_zone()))
    return Markup(f'<time datetime="{iso}" title="{shown}">{relative(now() - at)}</time>')  # noqa: S704


def relative(age: timedelta) -> str:
    """Return the age in the largest fitting unit."""
    seconds = int(age.total_seconds())
    for size, unit in ((365 * 86400, "year"), (30 * 86400, "month"), (86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if count != 1 else ''} ago"
    return "just now"
