"""Access control: views are private by default, and each exception is a decorator."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from flask import Flask, Response, abort, current_app, redirect, request, url_for
from flask.typing import ResponseReturnValue

from app.errors import ConfirmationRequired, NotAllowed, SetUpRequired
from app.extensions import now, settings
from app.principal import Principal
from app.services.permissions import PERMISSIONS
from app.unit_of_work import unit_of_work
from app.web.identity import is_api, principal
from app.web.redirects import here

View = TypeVar("View", bound=Callable[..., Any])


def public(view: View) -> View:
    """Anyone may call the view. A test lists these views by name."""
    view.is_public = True  # type: ignore[attr-defined]
    return view


def requires(permission: str) -> Callable[[View], View]:
    """Only those who hold `permission`. Raises ValueError at once for one that is not declared."""
    if permission not in PERMISSIONS:
        raise ValueError(f"the permission {permission} is not declared")

    def mark(view: View) -> View:
        view.permission = permission  # type: ignore[attr-defined]
        return view

    return mark


def confirmed(view: View) -> View:
    """Only shortly after the password was given; otherwise it is asked for first."""
    view.wants_confirmation = True  # type: ignore[attr-defined]
    return view


def sets_up(view: View) -> View:
    """Also for who has yet to set up a second factor that a role of theirs demands."""
    view.sets_up = True  # type: ignore[attr-defined]
    return view


def by_oneself(view: View) -> View:
    """Never while an administrator acts as the user; what is `confirmed` is so, too."""
    view.is_by_oneself = True  # type: ignore[attr-defined]
    return view


def init_app(app: Flask) -> None:
    public(app.view_functions["static"])
    app.before_request(guard)


def guard() -> ResponseReturnValue | None:
    """The guard: runs before every view."""
    if request.method == "OPTIONS":
        return None  # Flask answers OPTIONS itself. A CORS preflight has no credential.
    view = current_app.view_functions.get(request.endpoint or "")
    if view is None or getattr(view, "is_public", False):
        return None
    who = principal()
    if who is None:
        return _ask_to_sign_in()
    if who.lacks_factor and not getattr(view, "sets_up", False):
        return _ask_to_set_up()
    return _check(who, view)


def _check(who: Principal, view: Callable[..., Any]) -> ResponseReturnValue | None:
    """What the view asks of who is signed in."""
    permission = getattr(view, "permission", None)
    if permission is not None and not who.has(permission):
        raise NotAllowed(permission=permission)
    wants_confirmation = getattr(view, "wants_confirmation", False)
    if who.impersonator_id is not None and (wants_confirmation or getattr(view, "is_by_oneself", False)):
        raise NotAllowed("This cannot be done while you act as somebody else.")
    if wants_confirmation and not is_fresh(who):
        if is_api():
            raise ConfirmationRequired
        return redirect(url_for("auth.confirm", next=here()))
    return None


def is_fresh(who: Principal) -> bool:
    return who.impersonator_id is None and now() - who.confirmed_at < timedelta(minutes=settings().confirmation_minutes)


def _ask_to_sign_in() -> ResponseReturnValue:
    if is_api() or request.method not in {"GET", "HEAD", "POST"}:
        abort(401)
    sign_in = url_for("auth.login", next=here())
    # htmx would put the sign-in page where a part of this one belongs.
    return Response(headers={"HX-Redirect": sign_in}) if "HX-Request" in request.headers else redirect(sign_in)


def _ask_to_set_up() -> ResponseReturnValue:
    if is_api():
        raise SetUpRequired
    to = url_for("account.security")
    return Response(headers={"HX-Redirect": to}) if "HX-Request" in request.headers else redirect(to)


def record_refusal(permission: str) -> None:
    """One event for each person, permission and hour, with a count: requests can be repeated without end."""
    who = principal()
    if who is None:
        return
    once = f"access.refused:{who.user_id}:{permission}:{now():%Y-%m-%dT%H}"
    with unit_of_work() as work:
        work.audit.record(
            "access.refused", subject_id=who.user_id, once=once, permission=permission, path=request.path[:200]
        )
