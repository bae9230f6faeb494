"""The text part of an email, made from its HTML part."""

import re
from html.parser import HTMLParser

# Repeats what the text around it says: the site's name on top, and the link of a button.
HTML_ONLY = {"site", "small"}


def text_of(html: str) -> str:
    """Return the text of our own HTML: one line for each paragraph, with URLs alone on theirs, so that email programs
    find their end.
    """
    reader = _Reader()
    reader.feed(html)
    return "\n\n".join(reader.blocks) + "\n"


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[str] = []
        self._lines = [""]
        self._classes: set[str | None] = set()
        self._link: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in {"p", "ul"}:
            self._lines, self._classes = [""], {values.get("class")}
        elif tag in {"br", "li"}:
            self._lines.append("  " if tag == "li" else "")
        elif tag == "a":
            self._link = values.get("href") or ""

    def handle_data(self, data: str) -> None:
        words, link = re.sub(r"\s+", " ", data), self._link
        if link is None or link == f"mailto:{words}":
            self._lines[-1] += words.lstrip() if not self._lines[-1].strip() else words
        elif link == words:
            self._lines[-1:] = [self._lines[-1].rstrip(" ·"), link]
        else:
            self._lines[-1:] = [f"{words}:", link]

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._link = None
        elif tag in {"p", "ul"} and not self._classes & HTML_ONLY:
            text = "\n".join(line.rstrip() for line in self._lines if line.strip())
            self.blocks.append(f"-- \n{text}" if "foot" in self._classes else text)
