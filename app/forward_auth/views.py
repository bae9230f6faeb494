"""Forward authentication for nginx (`auth_request`), Caddy and Traefik."""

from urllib.parse import quote

from flask import Response, request, url_for
from flask.typing import ResponseReturnValue

from app.auth import bp
from app.core import urls
from app.core.extensions import settings
from app.core.principal import Principal
from app.web import current_user
from app.web.access import open_in_maintenance, public
from app.web.proxy_headers import for_other_apps
from app.web.redirects import return_url

NO_ROLES = "-"  # No role can have this name.


@bp.get("/forward")
@public
@open_in_maintenance
@for_other_apps
def forward() -> ResponseReturnValue:
    """Respond with 200, X-Auth-User, X-Auth-Email and X-Auth-Roles; or 401, a redirect to sign-in, or 403.

    Each of these headers is always there and never empty: Caddy 2.10.0 to 2.11.1 would let the client's own one through
    (GHSA-7r4p-vjf4-gxv4). Each `?role=` must be held, and each `?permission=`.
    """
    who = current_user.principal()
    if who is None:
        return _ask_to_sign_in()
    if who.lacks_factor:
        return Response("Set up a second factor in your account first.\n", 403, mimetype="text/plain")
    if not _may_enter(who):
        return Response("Your account doesn't have access.\n", 403, mimetype="text/plain")
    headers = {"X-Auth-User": str(who.user_id), "X-Auth-Roles": ",".join(who.roles) or NO_ROLES}
    # Header values are ASCII, addresses need not be.
    headers["X-Auth-Email"] = quote(who.email, safe="!#$&'*+/=?^`{|}@")
    return Response(status=200, headers=headers)


def _may_enter(who: Principal) -> bool:
    """Return whether the user can enter; never during impersonation, which the other application could not see."""
    return (
        who.impersonator_id is None
        and set(request.args.getlist("role")) <= set(who.roles)
        and all(who.has(permission) for permission in request.args.getlist("permission"))
    )


def _ask_to_sign_in() -> Response:
    """Answer nginx with 401 and Location, the only response it handles; Caddy and Traefik pass on a redirect."""
    address = urls.origin(settings().public_url) + url_for("auth.login", next=_wanted_page())
    sent = request.headers
    is_page = (
        sent.get("X-Forwarded-Method", "GET") in {"GET", "HEAD"}
        and "text/html" in sent.get("Accept", "")
        and sent.get("Sec-Fetch-Mode", "navigate") == "navigate"
    )
    if "X-Forwarded-Uri" in sent and "X-Original-URL" not in sent and is_page:
        return Response(status=302, headers={"Location": address})
    headers = {"Location": address, "WWW-Authenticate": 'Session realm="accounts"'}
    return Response("Sign in first.\n", 401, headers, "text/plain")


def _wanted_page() -> str | None:
    """Return the page that the browser requested, according to its proxy, or None unless its host is one of
    RETURN_HOSTS.
    """
    page = request.headers.get("X-Original-URL") or request.host_url.rstrip("/") + request.headers.get(
        "X-Forwarded-Uri", ""
    )
    return return_url(page) or None
