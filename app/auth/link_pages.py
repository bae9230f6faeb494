"""What pages behind links in emails share; opening a link spends nothing, its button does."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import g, request, url_for
from flask.typing import ResponseReturnValue

from app.auth import bp
from app.auth.models import Purpose
from app.core import errors
from app.unit_of_work import reading
from app.web.access import by_oneself, public
from app.web.csrf import has_cookie, origin_suffices
from app.web.errors import log_dead_link
from app.web.forms import Form
from app.web.limits import limited
from app.web.pages import page
from app.web.redirects import keep_link, kept_link, link_handle


def link_page(
    purpose: Purpose, *, opener: str, again: str, text: str, limit: str = "link", **dead: str
) -> Callable[[Callable[[str], ResponseReturnValue]], Callable[[], ResponseReturnValue]]:
    """Add a page for one kind of link. Its view gets the token; the path is the view's name, with dashes.

    The URL in emails has the token behind that path: endpoint `opener` moves it out of the address bar, history and
    Referer. `again`, `text` and `dead` are for `dead_link`, if the link no longer works.
    """

    def add(view: Callable[[str], ResponseReturnValue]) -> Callable[[], ResponseReturnValue]:
        name = view.__name__
        path = f"/{name.replace('_', '-')}"

        @bp.get(f"{path}/<token>", endpoint=opener)
        @public
        @by_oneself
        def open_link(token: str) -> ResponseReturnValue:
            if not _is_live(token, purpose):
                return dead_link(again=again, text=text, **dead)
            return keep_link(token, purpose, then=f"auth.{name}")

        @bp.route(path, methods=["GET", "POST"], endpoint=name)
        @public
        @by_oneself
        @origin_suffices
        @limited(limit)
        @wraps(view)
        def show_page() -> ResponseReturnValue:
            try:
                return view(kept_link(purpose))
            except errors.InvalidLink:
                return dead_link(again=again, text=text, **dead)

        return show_page

    return add


def dead_link(
    *, again: str, text: str, why: str = "", other: str = "home.index", other_text: str = "Home"
) -> ResponseReturnValue:
    """Respond with 410 to a link that is used, expired, replaced or unknown, and say what to do.

    Without a session cookie, the link that was just opened could not be remembered.
    """
    usual = why or "It was already used, has expired, or we've sent a newer one."
    cookies = "Your browser blocks cookies from this site. Allow them, then open the link again."
    is_opening = bool(request.view_args)
    log_dead_link()
    g.refused_as = errors.InvalidLink.code
    return page(
        "auth/dead_link.html",
        status=410,
        heading="This link no longer works" if is_opening or has_cookie() else "Allow cookies",
        text=usual if is_opening or has_cookie() else cookies,
        again_url=url_for(again),
        again_text=text,
        other_url=url_for(other),
        other_text=other_text,
    )


def link_form(template: str, form: Form, token: str, **values: Any) -> ResponseReturnValue:
    """Render a page with a form for the link of `token`."""
    return page(template, form, link=link_handle(token), **values)


def _is_live(token: str, purpose: Purpose) -> bool:
    try:
        reading().links.get_live(token, purpose)
    except errors.InvalidLink:
        return False
    return True
