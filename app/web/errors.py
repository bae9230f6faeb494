"""What went wrong, as a page (or JSON under /api/): one table from refusals to statuses."""

from __future__ import annotations

import logging
from http import HTTPStatus

from flask import Flask, Response, g, jsonify, make_response, render_template, request
from flask.typing import ResponseReturnValue
from flask_limiter import RateLimitExceeded
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException, SecurityError

from app.errors import (
    AccountError,
    Busy,
    DeadLink,
    EmailNotVerified,
    EmailTaken,
    InvalidCredentials,
    JobNotCancellable,
    JobNotRetryable,
    LastAdministrator,
    NotAllowed,
    NotFound,
    RegistrationClosed,
    SessionNotFound,
    TooManyTries,
)
from app.extensions import db
from app.web import csrf

log = logging.getLogger(__name__)

STATUSES: dict[type[AccountError], HTTPStatus] = {
    InvalidCredentials: HTTPStatus.UNAUTHORIZED,
    EmailNotVerified: HTTPStatus.FORBIDDEN,
    NotAllowed: HTTPStatus.FORBIDDEN,
    RegistrationClosed: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    SessionNotFound: HTTPStatus.NOT_FOUND,
    EmailTaken: HTTPStatus.CONFLICT,
    LastAdministrator: HTTPStatus.CONFLICT,
    JobNotRetryable: HTTPStatus.CONFLICT,
    JobNotCancellable: HTTPStatus.CONFLICT,
    DeadLink: HTTPStatus.GONE,
    TooManyTries: HTTPStatus.TOO_MANY_REQUESTS,
    Busy: HTTPStatus.SERVICE_UNAVAILABLE,
}

# What a person reads: what happened, and what to do.
WORDS: dict[int, tuple[str, str]] = {
    400: ("That request did not work", "Go back, reload the page and try again."),
    401: ("Please sign in", "This page is only for people who are signed in."),
    403: (
        "You may not open this",
        "Your account does not have the permission for it. Ask an administrator if you think it should.",
    ),
    404: ("There is nothing here", "The address may be mistyped, or what was here is gone."),
    405: ("That does not work here", "This page cannot be used in that way. Go back and try from there."),
    410: ("This link no longer works", "It was used already, has expired, or a newer one was sent."),
    411: ("Its length is missing", "Send it with a Content-Length header."),
    413: ("That is too large", "Send less at once."),
    415: ("That format is not understood", "Send the form from its page."),
    429: ("Too many tries", "Wait a little, then try again."),
    500: (
        "Something went wrong on our side",
        "It has been noted. Try again in a moment; if it stays, tell us the number below.",
    ),
    503: ("We are busy right now", "Try again in a moment."),
}


def init_app(app: Flask) -> None:
    app.register_error_handler(CSRFError, _csrf_refused)
    app.register_error_handler(SecurityError, _untrusted_host)
    app.register_error_handler(RateLimitExceeded, _limited)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(AccountError, _refused)
    app.register_error_handler(OperationalError, _database_away)
    app.register_error_handler(PoolTimeout, _database_away)
    app.register_error_handler(Exception, _unexpected)


def status_of(refusal: AccountError) -> HTTPStatus:
    for kind in type(refusal).__mro__:
        if kind in STATUSES:
            return STATUSES[kind]
    return HTTPStatus.UNPROCESSABLE_ENTITY


def _refused(refusal: AccountError) -> ResponseReturnValue:
    response = answer(
        status_of(refusal), text=None if isinstance(refusal, NotAllowed) else str(refusal), code=refusal.code
    )
    retry_after = getattr(refusal, "retry_after", None)
    if retry_after:
        response.headers["Retry-After"] = str(retry_after)
    return response


def _http(problem: HTTPException) -> ResponseReturnValue:
    if problem.response is not None:
        return problem.response
    if problem.code is not None and problem.code < 400:
        return problem.get_response()
    response = answer(problem.code or 500)
    for name, value in problem.get_headers():
        if name in {"Allow", "Retry-After", "WWW-Authenticate"}:
            response.headers[name] = value
    return response


def _limited(problem: RateLimitExceeded) -> ResponseReturnValue:
    response = answer(429)
    wait = problem.limit.limit.get_expiry()
    response.headers["Retry-After"] = str(min(wait, 3600))
    log.warning("rate limit hit", extra={"endpoint": request.endpoint})
    return response


def _csrf_refused(problem: CSRFError) -> ResponseReturnValue:
    log.warning("cross-site token refused", extra={"endpoint": request.endpoint, "reason": problem.description})
    return csrf.show_again() or answer(400, text="This page was open for too long. Go back, reload it and try again.")


def _untrusted_host(problem: SecurityError) -> ResponseReturnValue:
    # Any link built for this request would be a second error.
    return _page(
        400,
        "This address is not served here",
        "Check the address, or ask whoever runs this site to allow it.",
        bare=True,
    )


def _database_away(problem: Exception) -> ResponseReturnValue:
    db.session.rollback()
    log.error("the database cannot be used", exc_info=problem)
    response = answer(503)
    response.headers["Retry-After"] = "5"
    return response


def _unexpected(problem: Exception) -> ResponseReturnValue:
    log.error("unexpected error", exc_info=problem)
    return answer(500)


def answer(status: int, *, text: str | None = None, code: str | None = None) -> Response:
    """The error as its reader wants it; decided by the address, not by what the client says it accepts."""
    heading, usual = WORDS.get(int(status), WORDS[400 if status < 500 else 500])
    if request.path.startswith("/api/"):
        message = text or usual
        name = code or HTTPStatus(status).name.lower()
        body = {
            "success": False,
            "data": None,
            "message": message,
            "errors": [{"field": None, "code": name, "message": message}],
        }
        return make_response(jsonify(body), int(status))
    return _page(int(status), heading, text or usual)


def _page(status: int, heading: str, text: str, *, bare: bool = False) -> Response:
    g.asks_nothing = bare or status >= 500
    shown = render_template(
        "errors/error.html", status=status, heading=heading, text=text, request_id=g.get("request_id"), bare=bare
    )
    return make_response(shown, status)
