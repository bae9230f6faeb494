"""Access control: views are private by default, and each exception is a decorator."""

from collections.abc import Callable

from flask import Response, abort, g, redirect, request, url_for
from flask.typing import ResponseReturnValue

from app.core import errors
from app.core.extensions import now
from app.core.principal import Principal
from app.unit_of_work import reading, unit_of_work
from app.users.permissions import PERMISSIONS
from app.users.services.policy import Rule
from app.web.current_user import is_api, principal
from app.web.redirects import here
from app.web.views import View, mark_view, view_property

# Let anyone call the view. A test lists these views by name.
public = mark_view(is_public=True)
# Require a recent confirmation of identity; without one, the user is asked first.
confirmed = mark_view(wants_confirmation=True)
# Let users call the view who still have to set up a second factor that one of their roles requires.
sets_up = mark_view(sets_up=True)
# Refuse the view during impersonation, as `confirmed` does too.
by_oneself = mark_view(is_by_oneself=True)
# Keep a view open in maintenance: sign-in, endpoints for other sites and programs, and checks.
open_in_maintenance = mark_view(is_open_in_maintenance=True)


def requires(permission: str, *, on: str | None = None) -> Callable[[View], View]:
    """Require `permission`; with `on`, a type like `users`, a grant on the resource in the URL is enough.

    Raises ValueError at once for one that is not declared.
    """
    if permission not in PERMISSIONS:
        raise ValueError(f"the permission {permission} is not declared")

    return mark_view(permission=permission, resource_type=on)


def open_to_keys(*scopes: str) -> Callable[[View], View]:
    """Accept API keys with one of these scopes, without a confirmation.

    Without any scope here, the view decides itself. Every other view without a permission is closed to API keys.
    """
    return mark_view(key_scopes=scopes)


def check_access() -> ResponseReturnValue | None:
    """Refuse a view to users without access."""
    if request.method == "OPTIONS":
        return None  # Flask answers OPTIONS itself. A CORS preflight has no credential.
    if request.endpoint is None:
        return None
    if view_property("is_public"):
        _refuse_impersonator()
        return None
    who = principal()
    if who is None:
        return _ask_to_sign_in()
    if who.lacks_factor and not view_property("sets_up"):
        return _ask_to_set_up()
    return _check(who)


def _check(who: Principal) -> ResponseReturnValue | None:
    """Check the properties of the view against the signed-in user."""
    permission = view_property("permission")
    if permission is not None and not who.has(permission) and not _is_granted(who, permission):
        raise errors.NotAllowed(permission=permission)
    if who.is_key and permission is None:
        _check_scope(who)
    _refuse_impersonator()
    return ask_to_confirm() if _wants_confirmation(who) and not is_fresh(who) else None


def _is_granted(who: Principal, permission: str) -> bool:
    """Return whether the user has a grant on the view's resource."""
    kind = view_property("resource_type")
    if kind is None or not who.uses_grants:
        return False
    policy = reading().policy
    *_, row_id = (request.view_args or {}).values()
    try:
        decision = policy.may(who, permission, policy.get_resource(f"{kind}:{row_id}"))
    except errors.NotFound:
        return False
    return decision.allowed and decision.rule is Rule.GRANT


def _check_scope(who: Principal) -> None:
    """Raise NotAllowed for an API key that can't call the view."""
    scopes = view_property("key_scopes")
    if scopes is None:
        raise errors.NotAllowed("API keys can't do this. Use an access token.")
    if scopes and not any(map(who.has, scopes)):
        raise errors.NotAllowed(f"This API key needs the scope {scopes[0]}.", permission=scopes[0])


def _wants_confirmation(who: Principal) -> bool:
    return view_property("wants_confirmation") and not (who.is_key and view_property("key_scopes"))


def _refuse_impersonator() -> None:
    """Raise NotAllowed if only the user themselves can call the view."""
    if view_property("wants_confirmation") or view_property("is_by_oneself"):
        who = principal()
        if who is not None and who.impersonator_id is not None:
            raise errors.NotAllowed("You can't do this while you impersonate someone.")


def ask_to_confirm() -> ResponseReturnValue:
    """Redirect to the confirmation page. Raises ConfirmationRequired in the API."""
    who = principal()
    if is_api():
        raise errors.ConfirmationRequired(errors.ConfirmationRequired.not_for_keys if who and who.is_key else None)
    g.refused_as = errors.ConfirmationRequired.code
    return redirect(url_for("auth.confirm", next=here()))


def is_fresh(who: Principal) -> bool:
    return reading().policy.is_confirmed(who)


def _ask_to_sign_in() -> ResponseReturnValue:
    if is_api() or request.method not in {"GET", "HEAD", "POST"}:
        abort(401)
    g.refused_as = "unauthenticated"
    sign_in = url_for("auth.login", next=here())
    # htmx would put the sign-in page where a part of this one belongs.
    return Response(headers={"HX-Redirect": sign_in}) if "HX-Request" in request.headers else redirect(sign_in)


def _ask_to_set_up() -> ResponseReturnValue:
    if is_api():
        raise errors.SetUpRequired
    g.refused_as = errors.SetUpRequired.code
    to = url_for("account.security")
    return Response(headers={"HX-Redirect": to}) if "HX-Request" in request.headers else redirect(to)


def record_refusal(permission: str) -> None:
    """Record one event with a count for each user, permission and hour: requests can be repeated endlessly."""
    who = principal()
    if who is None:
        return
    once = f"access.refused:{who.user_id}:{permission}:{now():%Y-%m-%dT%H}"
    with unit_of_work() as work:
        work.audit.record(
            "access.refused", subject_id=who.user_id, once=once, permission=permission, path=request.path[:200]
        )
