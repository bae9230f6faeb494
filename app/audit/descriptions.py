"""Descriptions of audit events, for their users and for administrators."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.audit.models import AuditEvent
from app.core.extensions import features
from app.core.user_agents import device_name


@dataclass(frozen=True, slots=True)
class DescribedEvent:
    """One event, ready for a page; `address` is the client's, None once erased or unknown."""

    at: datetime
    sentence: str
    address: str | None
    device: str | None
    count: int


class _Gone(dict[str, object]):
    def __missing__(self, name: str) -> str:
        return "…"


def describe(event: AuditEvent, *, for_user_id: int | None = None) -> DescribedEvent:
    """Describe an event. With `for_user_id`, an actor's address and device are hidden from the affected user."""
    detail = event.detail
    is_hidden = for_user_id is not None and event.actor_id not in {None, for_user_id}
    return DescribedEvent(
        at=event.at,
        sentence=sentence(event.kind, detail.values if detail else {}),
        address=detail.address if detail and not is_hidden else None,
        device=device_name(detail.user_agent) if detail and detail.user_agent and not is_hidden else None,
        count=detail.count if detail else 1,
    )


def sentence(kind: str, values: dict[str, Any]) -> str:
    """Return the description of an event. Only our own sentence is the format string; user input is only a value."""
    text = features().audit_texts.get(kind, kind).format_map(_Gone(values))
    return f"{text} Reason: {values['reason']}" if kind == "user.deleted" and values.get("reason") else text
