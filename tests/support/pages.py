"""The checks for every page, whichever test fetched it."""

from __future__ import annotations

from typing import Any

from justhtml import JustHTML

Node = Any

UNLABELLED = {"hidden", "submit", "button", "reset", "image"}
ADDRESSES = ("href", "src", "action", "formaction", "poster", "data")
POINTERS = ("for", "aria-labelledby", "aria-describedby", "aria-controls", "aria-owns")


class Page:
    """A parsed page. `find` and `find_all` take CSS selectors; `find` fails when there is nothing."""

    def __init__(self, html: str) -> None:
        self.html = html
        self._document = JustHTML(html, sanitize=False, collect_errors=True)

    @property
    def errors(self) -> list[str]:
        return [str(error) for error in self._document.errors]

    def find_all(self, selector: str) -> list[Node]:
        return list(self._document.query(selector))

    def find(self, selector: str) -> Node:
        found = self.find_all(selector)
        assert found, f"nothing on the page is {selector}"
        return found[0]

    def has(self, selector: str) -> bool:
        return bool(self.find_all(selector))

    def text(self, selector: str) -> str:
        """The text of the first node that `selector` finds, its white space folded."""
        return folded(self.find(selector).to_text())

    def texts(self, selector: str) -> list[str]:
        return [folded(node.to_text()) for node in self.find_all(selector)]

    def value(self, name: str) -> str:
        """What stands in the field `name`."""
        return (self.find(f'main [name="{name}"]').attrs or {}).get("value") or ""


def folded(text: str) -> str:
    return " ".join(text.split())


def complaints(page: Page) -> list[str]:
    """Every requirement that the page violates; empty for a good one."""
    return [
        *(f"invalid HTML: {error}" for error in page.errors),
        *_about_its_frame(page),
        *_about_ids(page),
        *_about_scripts(page),
        *_about_forms(page),
    ]


def _about_its_frame(page: Page) -> list[str]:
    said = []
    if not attributes(page.find("html")).get("lang"):
        said.append("no language")
    titles = page.texts("head > title")
    if len(titles) != 1 or not titles[0]:
        said.append(f"titles: {titles}")
    descriptions = [attributes(node)["content"] for node in page.find_all("meta[name=description]")]
    if len(descriptions) != 1 or not descriptions[0].strip():
        said.append(f"descriptions: {descriptions}")
    headings = page.texts("h1")
    if len(headings) != 1 or not headings[0]:
        said.append(f"first headings: {headings}")
    return said


def _about_ids(page: Page) -> list[str]:
    ids = [attributes(node)["id"] for node in page.find_all("[id]")]
    said = [f"the id {name!r} is there twice" for name in sorted({name for name in ids if ids.count(name) > 1})]
    for pointer in POINTERS:
        for node in page.find_all(f"[{pointer}]"):
            lost = set(attributes(node)[pointer].split()) - set(ids)
            said += [f"{pointer} points to {name!r}, which is not there" for name in sorted(lost)]
    return said


def _about_scripts(page: Page) -> list[str]:
    said = [f"inline <{node.name}>" for node in page.find_all("style")]
    for node in page.find_all("script"):
        if not attributes(node).get("src"):
            said.append("inline <script>")
    for node in page.find_all("*"):
        for name, value in attributes(node).items():
            if name == "style" or name.startswith("on"):
                said.append(f"<{node.name} {name}>")
            if name in ADDRESSES and (value or "").strip().lower().startswith(("javascript:", "data:", "//")):
                said.append(f"<{node.name} {name}={value}>")
    return said


def _about_forms(page: Page) -> list[str]:
    labelled = {attributes(label).get("for") for label in page.find_all("label")}
    said = []
    for selector in ("input", "select", "textarea"):
        for field in page.find_all(selector):
            known = attributes(field)
            if known.get("type") in UNLABELLED:
                continue
            if known.get("id") not in labelled and not known.get("aria-label") and not known.get("aria-labelledby"):
                said.append(f"no label for {known.get('name')}")
    for form in page.find_all("form"):
        is_post = attributes(form).get("method", "get").lower() == "post"
        if is_post and not form.query('input[name="csrf_token"]'):
            said.append(f"no token in the form to {attributes(form).get('action')}")
        if is_post and not form.query("button, input[type=submit]"):
            said.append("a form without a button")
    return said


def attributes(node: Node) -> dict[str, str]:
    return {name: value or "" for name, value in (node.attrs or {}).items()}
