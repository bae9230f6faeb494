"""Emails in a frame that runs no script and loads nothing."""

from flask import Response, g, make_response

MAIL_CONTENT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)


def mail_frame(html: str) -> Response:
    response = make_response(html)
    response.headers["Content-Security-Policy"] = MAIL_CONTENT_POLICY
    response.headers["X-Frame-Options"] = "SAMEORIGIN"
    g.may_be_framed = True
    return response
