"""Navigation: pages that the header, the side bar of the account and that of administration list."""

from typing import NamedTuple

from flask import current_app, request, url_for

from app.core.extensions import features
from app.web.current_user import principal


class NavPage(NamedTuple):
    """A page for every signed-in user; `place` orders them."""

    endpoint: str
    text: str
    place: int


class AdminPage(NamedTuple):
    """`permission` None lists the page for everyone who can open another one; `place` orders them."""

    permission: str | None
    endpoint: str
    text: str
    place: int


class AdminEntry(NamedTuple):
    """An entry of the side bar; `current` is the value of aria-current, or empty."""

    text: str
    url: str
    current: str


def admin_pages() -> list[AdminEntry]:
    """Return the pages of administration that the signed-in user can open, for templates."""
    who, pages = principal(), features().admin_pages
    allowed = [page for page in pages if who is not None and page.permission and who.has(page.permission)]
    if not allowed:
        return []
    urls = {page: _url(page.endpoint) for page in pages if page.permission is None or page in allowed}
    here = request.script_root + request.path
    above = [page for page, url in urls.items() if here == url or here.startswith(f"{url}/")]
    nearest = max(above, key=lambda page: len(urls[page]), default=None)
    current = "" if nearest is None else "page" if nearest.endpoint == request.endpoint else "true"
    return [AdminEntry(page.text, url, current if page == nearest else "") for page, url in urls.items()]


def _url(endpoint: str) -> str:
    """Return the URL of a page, built once for each application: the mount path never changes."""
    urls: dict[str, str] = current_app.extensions.setdefault("admin_urls", {})
    if endpoint not in urls:
        urls[endpoint] = url_for(endpoint)
    return urls[endpoint]
