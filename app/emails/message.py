from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import render_template

from app.extensions import settings


@dataclass(frozen=True, slots=True)
class Message:
    """A mail that is ready to go: `kind` names it in the record, `user_id` whose it is."""

    kind: str
    user_id: int | None
    to: str
    subject: str
    text: str
    html: str


def compose(kind: str, *, to: str, subject: str, name: str = "", user_id: int | None = None, **values: Any) -> Message:
    """Render both parts of the mail `kind`."""
    known = {"site_name": settings().site_name, "base_url": settings().public_url, "name": name, **values}
    return Message(
        kind=kind,
        user_id=user_id,
        to=to,
        subject=" ".join(subject.split()),
        text=render_template(f"emails/{kind}.txt", **known),
        html=render_template(f"emails/{kind}.html", **known),
    )
