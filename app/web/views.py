"""Properties of views, set by decorators beside the route and read by the request pipeline."""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import current_app, g, request

View = TypeVar("View", bound=Callable[..., Any])


def mark_view(**properties: Any) -> Callable[[View], View]:
    """Return a decorator that sets these attributes of a view; `functools.wraps` carries them over to a wrapper."""

    def mark(view: View) -> View:
        for name, value in properties.items():
            setattr(view, name, value)
        return view

    return mark


def view_property(name: str, default: Any = None) -> Any:
    """Return the property of the request's view; `default` if it has none, or no URL matches."""
    view = g.get("view")
    if view is None:
        view = g.view = current_app.view_functions.get(request.endpoint or "", _no_view)
    return getattr(view, name, default)


def _no_view() -> None:
    """Stand in for the view of a request whose URL matches none."""
