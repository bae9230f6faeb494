"""Views that accept files."""

from collections.abc import Callable

from flask import request

from app.web.views import View, mark_view, view_property

# The size of a form around its file.
AROUND = 64 * 1024


def allow_large_body() -> None:
    """Raise the limit of the body's size if the view accepts a file and the user can call it."""
    if most_bytes := view_property("most_bytes"):
        request.max_content_length = most_bytes


def accepts_file(most_bytes: int) -> Callable[[View], View]:
    """Let a body of this size in."""
    return mark_view(most_bytes=most_bytes + AROUND)
