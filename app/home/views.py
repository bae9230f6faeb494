import json
from datetime import timedelta
from pathlib import Path

from flask import Response, current_app, redirect, request, url_for
from flask.typing import ResponseReturnValue

from app.auth.access_tokens import public_keys
from app.core import errors
from app.core.extensions import now, settings
from app.home import bp
from app.site.current import brand
from app.site.service import SiteSettings
from app.unit_of_work import reading
from app.web import current_user, session_cookie
from app.web.access import open_in_maintenance, public, sets_up
from app.web.headers import for_everyone
from app.web.pages import page
from app.web.redirects import here
from app.web.theme import theme_css


@bp.get("/")
@public
def index() -> ResponseReturnValue:
    """Redirect to the account, or to HOME_URL or sign-in; show a page in development, or an overriding template."""
    if current_user.principal():
        return redirect(url_for("account.profile"))
    if settings().is_development or (Path(current_app.instance_path) / "templates" / "home.html").is_file():
        return page("home.html")
    return redirect(settings().home_url or url_for("auth.login"))


@bp.post("/theme")
@sets_up
def set_theme() -> ResponseReturnValue:
    """Store the chosen color scheme in this browser, and return to the page."""
    session_cookie.keep_theme(request.form.get("theme", ""))
    return redirect(here() or url_for("home.index"))


@bp.get("/theme.css")
@public
@open_in_maintenance
def theme() -> ResponseReturnValue:
    """Return the accent color as custom properties with enough contrast in light and dark mode."""
    return _file(theme_css(brand().accent_color), "text/css")


@bp.get("/logo.png")
@public
@open_in_maintenance
def logo() -> ResponseReturnValue:
    """Return the logo that administrators have uploaded."""
    content = reading()[SiteSettings].get_logo()
    if content is None:
        raise errors.NotFound
    return for_everyone(Response(content, mimetype="image/png"), seconds=31_536_000 if "v" in request.args else 300)


@bp.get("/favicon.ico")
@public
@open_in_maintenance
def favicon() -> ResponseReturnValue:
    return for_everyone(current_app.send_static_file("favicon.ico"), seconds=3600)


@bp.get("/robots.txt")
@public
@open_in_maintenance
def robots() -> ResponseReturnValue:
    return _file(
        "User-agent: *\nDisallow: /account\nDisallow: /users\nDisallow: /admin\nDisallow: /api\n", "text/plain"
    )


@bp.get("/.well-known/security.txt")
@public
@open_in_maintenance
def security_txt() -> ResponseReturnValue:
    """Return security.txt (RFC 9116)."""
    expires = (now() + timedelta(days=180)).strftime("%Y-%m-%dT00:00:00Z")
    lines = [
        f"Contact: mailto:{settings().contact}",
        f"Expires: {expires}",
        "Preferred-Languages: en",
        f"Canonical: {settings().public_url}/.well-known/security.txt",
    ]
    return _file("\n".join(lines) + "\n", "text/plain")


@bp.get("/.well-known/jwks.json")
@public
@open_in_maintenance
def jwks() -> ResponseReturnValue:
    """Return the public keys of access tokens (RFC 7517) for services that verify them."""
    return _file(json.dumps(public_keys(settings().signing_keys)), "application/json", seconds=60)


@bp.get("/.well-known/change-password")
@public
@open_in_maintenance
def change_password() -> ResponseReturnValue:
    """Redirect to the password page (W3C: A Well-Known URL for Changing Passwords)."""
    return redirect(url_for("account.password"))


def _file(text: str, mimetype: str, *, seconds: int = 3600) -> Response:
    return for_everyone(Response(text, mimetype=mimetype), seconds=seconds)
