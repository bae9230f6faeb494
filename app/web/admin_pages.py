"""The pages of administration that the side bar lists. Blueprints add theirs."""

from collections.abc import Callable
from typing import NamedTuple

from flask import current_app, request, url_for
from flask.sansio.blueprints import BlueprintSetupState

from app.web.current_user import principal


class AdminPage(NamedTuple):
    """`permission` None lists the page for everyone who can open another one."""

    permission: str | None
    endpoint: str
    text: str


class AdminEntry(NamedTuple):
    """An entry of the side bar; `current` is the value of aria-current, or empty."""

    text: str
    url: str
    current: str


class _Listed:
    """The pages of one application, and their URLs: the mount path never changes."""

    def __init__(self) -> None:
        self.pages: list[AdminPage] = []
        self._urls: dict[str, str] = {}

    def url(self, endpoint: str) -> str:
        if endpoint not in self._urls:
            self._urls[endpoint] = url_for(endpoint)
        return self._urls[endpoint]


def add_admin_pages(*pages: AdminPage) -> Callable[[BlueprintSetupState], None]:
    """Return a function for `Blueprint.record` that adds these pages to the side bar."""

    def add(state: BlueprintSetupState) -> None:
        listed = state.app.extensions.setdefault("admin_pages", _Listed())
        listed.pages.extend(pages)
        listed.pages.sort(key=lambda page: page.permission is not None)

    return add


def admin_pages() -> list[AdminEntry]:
    """Return the pages of administration that the signed-in user can open, for templates."""
    who, listed = principal(), current_app.extensions["admin_pages"]
    allowed = [page for page in listed.pages if who is not None and page.permission and who.has(page.permission)]
    if not allowed:
        return []
    urls = {page: listed.url(page.endpoint) for page in listed.pages if page.permission is None or page in allowed}
    here = request.script_root + request.path
    above = [page for page, url in urls.items() if here == url or here.startswith(f"{url}/")]
    nearest = max(above, key=lambda page: len(urls[page]), default=None)
    current = "" if nearest is None else "page" if nearest.endpoint == request.endpoint else "true"
    return [AdminEntry(page.text, url, current if page == nearest else "") for page, url in urls.items()]
