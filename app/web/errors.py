"""Error pages (JSON under /api/)."""

import logging
from http import HTTPStatus

from flask import Flask, Response, g, make_response, render_template, request
from flask.typing import ResponseReturnValue
from flask_limiter import RateLimitExceeded
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import IntegrityError, NoResultFound, ProgrammingError, SQLAlchemyError
from sqlalchemy.orm.exc import StaleDataError
from werkzeug.exceptions import HTTPException, SecurityError

from app.core import errors
from app.core.database import DATABASE_AWAY
from app.core.extensions import db
from app.core.migration_state import first_line, schema_state
from app.web import csrf, json_envelope
from app.web.access import ask_to_confirm, record_refusal
from app.web.current_user import has_explicit_credential, is_api, log_refused

log = logging.getLogger(__name__)

TOO_MANY = "Too many attempts. What you entered is still here. Wait a moment, then send it again."
# For people: what happened, and what to do.
WORDS: dict[int, tuple[str, str]] = {
    400: ("Something is wrong with that request", "Go back, reload the page and try again."),
    401: ("Sign in to continue", "You need to sign in to see this page."),
    403: ("You don't have access to this page", "If you need access, ask an administrator."),
    404: ("Page not found", "Check the address. The page may have been removed."),
    405: ("This page can't do that", "Go back and try again."),
    409: ("This has changed", "Someone else changed or deleted this. Open the page again."),
    410: ("This link no longer works", "It was already used, has expired, or we've sent a newer one."),
    411: ("Content-Length is missing", "Send the request with a Content-Length header."),
    413: ("Too large", "Send less data at once."),
    415: ("Unsupported format", "Open the page and send its form."),
    429: ("Too many attempts", "Wait a moment, then try again."),
    500: ("Something went wrong", "Try again in a moment. If it keeps happening, contact us with this reference."),
    503: ("We're busy right now", "Try again in a moment."),
}


# For the API: a code that programs may rely on, and a sentence for people who read their logs.
API_WORDS: dict[int, tuple[str, str]] = {
    400: ("bad_request", "The request can't be read."),
    401: ("unauthenticated", "Send a valid credential: Authorization: Bearer ..."),
    403: ("forbidden", "You don't have permission to do this."),
    404: ("not_found", "Not found."),
    405: ("method_not_allowed", "Method not allowed. The Allow header lists the allowed methods."),
    409: ("conflict", "Another request changed or deleted this. Read it again, then retry."),
    411: ("length_required", "Send a Content-Length."),
    413: ("too_large", "Send at most 64 KiB."),
    415: ("unsupported_media_type", "Send Content-Type: application/json."),
    429: ("too_many_requests", "Wait, then try again. The Retry-After header says how long."),
    500: ("internal_error", "Something went wrong. If it keeps happening, contact us with the X-Request-ID."),
    503: ("unavailable", "Try again in a moment. The Retry-After header says when."),
}


def init_app(app: Flask) -> None:
    app.register_error_handler(CSRFError, _csrf_refused)
    app.register_error_handler(SecurityError, _untrusted_host)
    app.register_error_handler(RateLimitExceeded, _limited)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(errors.AccountError, _refused)
    for away in DATABASE_AWAY:
        app.register_error_handler(away, _database_away)
    app.register_error_handler(ProgrammingError, _statement_refused)
    for changed in (IntegrityError, NoResultFound, StaleDataError):
        app.register_error_handler(changed, _changed_since)
    app.register_error_handler(Exception, _unexpected)


def _refused(refusal: errors.AccountError) -> ResponseReturnValue:
    if isinstance(refusal, errors.ConfirmationRequired) and not is_api():
        return ask_to_confirm()
    if isinstance(refusal, errors.InvalidLink):
        log_dead_link()
    if isinstance(refusal, errors.BadRefreshToken):
        log_refused("refresh_token")
    if isinstance(refusal, errors.NotAllowed) and refusal.permission is not None:
        try:
            record_refusal(refusal.permission)
        except DATABASE_AWAY as problem:
            return _database_away(problem)
    response = answer(
        refusal.status,
        text=None if str(refusal) == errors.NotAllowed.message else str(refusal),
        code=refusal.code,
        problems=refusal.problems if isinstance(refusal, errors.InvalidInput) else None,
    )
    retry_after = getattr(refusal, "retry_after", None)
    if retry_after:
        response.headers["Retry-After"] = str(retry_after)
    return response


def log_dead_link() -> None:
    log.warning("a dead link was opened", extra={"endpoint": request.endpoint})


def _http(problem: HTTPException) -> ResponseReturnValue:
    if problem.response is not None:
        return problem.response
    if problem.code is not None and problem.code < 400:
        return problem.get_response()
    text = problem.description if is_api() and getattr(problem, "shows_description", False) else None
    response = answer(problem.code or 500, text=text)
    for name, value in problem.get_headers():
        if name in {"Allow", "Retry-After", "WWW-Authenticate"}:
            response.headers[name] = value
    return response


def _limited(problem: RateLimitExceeded) -> ResponseReturnValue:
    response = csrf.show_again(TOO_MANY, status=429) or answer(429)
    g.refused_as = "too_many_requests"
    wait = problem.limit.limit.get_expiry()
    response.headers["Retry-After"] = str(min(wait, 3600))
    log.warning("rate limit hit", extra={"endpoint": request.endpoint})
    return response


def _csrf_refused(problem: CSRFError) -> ResponseReturnValue:
    log.warning("cross-site token refused", extra={"endpoint": request.endpoint, "reason": problem.description})
    if is_api():
        return answer(403, text="Send the CSRF token of a page as X-CSRFToken, or a bearer token.", code="csrf")
    text = "This page was open for too long. Go back, reload it and try again."
    if not csrf.has_cookie():
        text = "Allow cookies for this site, go back, reload the page and try again."
    response = csrf.show_again() or answer(400, text=text)
    g.refused_as = "csrf"
    return response


def _untrusted_host(problem: SecurityError) -> ResponseReturnValue:
    log.warning("a request for an unknown host was refused", extra={"host": request.environ.get("HTTP_HOST", "")[:100]})
    if is_api():
        return answer(400, text="Unknown host name.")
    g.refused_as = "unknown_host"
    # Building a link for this request would fail again.
    text = "Check the address. To serve this host name, add it to ALLOWED_HOSTS."
    return _page(400, "Unknown host name", text, bare=True)


def _database_away(problem: SQLAlchemyError) -> ResponseReturnValue:
    db.session.rollback()
    log.error("the database cannot be used", extra={"reason": first_line(problem)})
    response = answer(503)
    response.headers["Retry-After"] = "5"
    return response


def _statement_refused(problem: ProgrammingError) -> ResponseReturnValue:
    """Respond to a refused statement: the schema is older or newer than the code, or the statement is wrong."""
    db.session.rollback()
    return _unexpected(problem) if schema_state() == ("ok", "ok") else _database_away(problem)


def _changed_since(problem: Exception) -> ResponseReturnValue:
    """Respond to a row that another request deleted or changed between two statements."""
    if isinstance(problem, IntegrityError) and not _is_foreign_key(problem):
        return _unexpected(problem)
    db.session.rollback()
    log.warning("two requests met at the same row", exc_info=problem)
    return answer(409, code="conflict")


def _is_foreign_key(problem: IntegrityError) -> bool:
    return getattr(problem.orig, "sqlstate", None) == "23503" or "FOREIGN KEY" in str(problem.orig)


def _unexpected(problem: Exception) -> ResponseReturnValue:
    log.error("unexpected error", exc_info=problem)
    return answer(500)


def answer(
    status: int,
    *,
    heading: str | None = None,
    text: str | None = None,
    code: str | None = None,
    problems: list[errors.Problem] | None = None,
) -> Response:
    """Return an error as a page or JSON; the log line of the request names its code."""
    usual_code, usual = API_WORDS.get(int(status), API_WORDS[400 if status < 500 else 500])
    g.refused_as = code or usual_code
    if is_api():
        message = text or usual
        shown_problems = problems or [errors.Problem(None, code or usual_code, message)]
        response = json_envelope.refusal(int(status), message, shown_problems)
        if status == HTTPStatus.UNAUTHORIZED:
            # RFC 6750, section 3.1: only an invalid credential gets an error code, a missing one does not.
            why = ', error="invalid_token"' if has_explicit_credential() else ""
            response.headers["WWW-Authenticate"] = f'Bearer realm="api"{why}'
        return response
    usual_heading, usual_text = WORDS.get(int(status), WORDS[400 if status < 500 else 500])
    return _page(int(status), heading or usual_heading, text or usual_text)


def _page(status: int, heading: str, text: str, *, bare: bool = False) -> Response:
    g.asks_nothing = bare or status >= 500
    shown = render_template(
        "errors/error.html", status=status, heading=heading, text=text, request_id=g.get("request_id"), bare=bare
    )
    return make_response(shown, status)
