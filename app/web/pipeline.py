"""The request pipeline: the steps before and after every view, in order."""

import logging

from flask import Flask, Response
from flask.typing import ResponseReturnValue

from app.ops.maintenance import close_for_maintenance
from app.web.access import check_access, open_in_maintenance, public
from app.web.compression import compress_static_file
from app.web.cors import add_cors_headers
from app.web.csrf import check_csrf
from app.web.current_user import note_visit, renew_token
from app.web.headers import add_security_headers, log_request, start_request
from app.web.limits import add_quota_headers, check_limits, require_length, require_text
from app.web.proxy_headers import check_host
from app.web.session_cookie import set_cookies
from app.web.uploads import allow_large_body
from app.web.views import mark_view

log = logging.getLogger(__name__)

# Each returns None, or a response that replaces the view's; refusals are raised.
BEFORE_VIEW = (
    start_request,
    check_host,
    note_visit,
    close_for_maintenance,
    check_access,
    allow_large_body,
    require_length,
    require_text,
    check_limits,
    check_csrf,
)

# Each changes the response in place. Flask writes the session cookie after them.
AFTER_VIEW = (
    renew_token,
    set_cookies,
    compress_static_file,
    add_quota_headers,
    add_cors_headers,
    add_security_headers,
    log_request,
)


def init_app(app: Flask) -> None:
    """Replace the hooks of extensions by the pipeline, which calls what we use."""
    for decorate in (public, open_in_maintenance, mark_view(is_static_file=True)):
        decorate(app.view_functions["static"])
    app.before_request_funcs[None] = [run_before_view]
    app.after_request_funcs[None] = [run_after_view]


def run_before_view() -> ResponseReturnValue | None:
    for step in BEFORE_VIEW:
        answer = step()
        if answer is not None:
            return answer
    return None


def run_after_view(response: Response) -> Response:
    """Run every step. A failing step is logged: the view has done its work, so its response must be sent."""
    for step in AFTER_VIEW:
        try:
            step(response)
        except Exception:
            log.exception("a step after the view failed", extra={"step": step.__name__})
    return response
