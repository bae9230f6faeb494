"""The checks for every page, whichever test requested it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from justhtml import Element, JustHTML

Node = Any
Elements = list[tuple[Node, dict[str, str]]]

UNLABELLED = {"hidden", "submit", "button", "reset", "image"}
ADDRESSES = ("href", "src", "action", "formaction", "poster", "data")
POINTERS = {"for", "aria-labelledby", "aria-describedby", "aria-controls", "aria-owns"}
FIELDS = {"input", "select", "textarea"}


class Page:
    """A parsed page. `find` and `find_all` take CSS selectors; `find` fails without a match."""

    def __init__(self, html: str) -> None:
        self.html = html
        self._document = JustHTML(html, sanitize=False)

    @property
    def root(self) -> Node:
        return self._document.root

    @property
    def errors(self) -> list[str]:
        """Return HTML errors from a second parse: collecting them takes five times as long as parsing."""
        return [str(error) for error in JustHTML(self.html, sanitize=False, collect_errors=True).errors]

    def find_all(self, selector: str) -> list[Node]:
        return list(self._document.query(selector))

    def find(self, selector: str) -> Node:
        elements = self.find_all(selector)
        assert elements, f"nothing on the page is {selector}"
        return elements[0]

    def has(self, selector: str) -> bool:
        return bool(self.find_all(selector))

    def text(self, selector: str) -> str:
        """Return the text of the first match of `selector`, with white space collapsed."""
        return folded(self.find(selector).to_text())

    def texts(self, selector: str) -> list[str]:
        return [folded(node.to_text()) for node in self.find_all(selector)]

    def value(self, name: str) -> str:
        """Return the value of the field `name`."""
        return (self.find(f'main [name="{name}"]').attrs or {}).get("value") or ""


def folded(text: str) -> str:
    return " ".join(text.split())


def complaints(page: Page) -> list[str]:
    """List every requirement that the page violates."""
    elements = [(node, attributes(node)) for node in _elements(page.root)]
    return [
        *(f"invalid HTML: {error}" for error in page.errors),
        *_about_its_frame(elements),
        *_about_ids(elements),
        *_about_scripts(elements),
        *_about_labels(elements),
        *_about_forms(elements),
    ]


def _elements(node: Node) -> Iterator[Node]:
    """Return all elements below `node` in document order."""
    waiting = [*reversed(node.children)]
    while waiting:
        element = waiting.pop()
        if isinstance(element, Element):
            yield element
            waiting += reversed(element.children)


def _about_its_frame(elements: Elements) -> Iterator[str]:
    if not any(node.name == "html" and attrs.get("lang") for node, attrs in elements):
        yield "no language"
    once = {
        "title": [node.to_text() for node, _ in elements if node.name == "title" and node.parent.name == "head"],
        "description": [
            attrs["content"] for node, attrs in elements if (node.name, attrs.get("name")) == ("meta", "description")
        ],
        "first heading": [node.to_text() for node, _ in elements if node.name == "h1"],
    }
    yield from (f"{name}: {texts}" for name, texts in once.items() if len(texts) != 1 or not texts[0].strip())


def _about_ids(elements: Elements) -> Iterator[str]:
    ids = Counter(attrs["id"] for _, attrs in elements if "id" in attrs)
    yield from (f"the id {name!r} is there {times} times" for name, times in ids.items() if times > 1)
    for _, attrs in elements:
        for pointer in POINTERS & attrs.keys():
            lost = set(attrs[pointer].split()) - set(ids)
            yield from (f"{pointer} points to {name!r}, which is not there" for name in sorted(lost))


def _about_scripts(elements: Elements) -> Iterator[str]:
    for node, attrs in elements:
        if node.name == "style" or (node.name == "script" and not attrs.get("src")):
            yield f"inline <{node.name}>"
        for name, value in attrs.items():
            if name == "style" or name.startswith("on"):
                yield f"<{node.name} {name}>"
            is_download = "download" in attrs and value.startswith("data:text/plain,")
            if (
                name in ADDRESSES
                and value.strip().lower().startswith(("javascript:", "data:", "//"))
                and not is_download
            ):
                yield f"<{node.name} {name}={value}>"


def _about_labels(elements: Elements) -> Iterator[str]:
    labelled = {attrs.get("for") for node, attrs in elements if node.name == "label"}
    for node, attrs in elements:
        if node.name in FIELDS and attrs.get("type") not in UNLABELLED:
            has_label = attrs.get("id") in labelled or attrs.get("aria-label") or attrs.get("aria-labelledby")
            if not has_label:
                yield f"no label for {attrs.get('name')}"


def _about_forms(elements: Elements) -> Iterator[str]:
    for form, attrs in elements:
        if form.name == "form" and attrs.get("method", "get").lower() == "post":
            inside = [(node.name, attributes(node)) for node in _elements(form)]
            if ("input", "csrf_token") not in {(name, part.get("name")) for name, part in inside}:
                yield f"no token in the form to {attrs.get('action')}"
            if not any(name == "button" or part.get("type") == "submit" for name, part in inside):
                yield "a form without a button"


def attributes(node: Node) -> dict[str, str]:
    return {name: value or "" for name, value in (node.attrs or {}).items()}
