"""Emails about connected accounts."""

from typing import ClassVar

from app.auth.models import Target, Undoable
from app.mail.kinds import (
    SAMPLE_UNDO,
    SAMPLE_VISIT,
    Email,
    EmailJob,
    EmailKind,
    WarningEmail,
    details,
    visit,
)


class ConnectionChanged(EmailKind):
    template, subject = "connection_changed", "{label} was {what} your {site} account"
    sample: ClassVar = {**SAMPLE_VISIT, **SAMPLE_UNDO, "label": "Google", "is_added": True, "what": "connected to"}

    @classmethod
    def of(cls, job: EmailJob, user_id: int, event_id: int, *, is_added: bool) -> Email:
        user, event = job.active(user_id), job.event(event_id)
        values = details(event)
        name = str(values.get("provider", ""))
        return cls.email(
            user,
            label=job.providers.get(name, name),
            is_added=is_added,
            what="connected to" if is_added else "disconnected from",
            **visit(event),
            **job.undo(user, Undoable.read(Target.CONNECTION, values)),
        )


class SendConnectionAdded(WarningEmail, kind="send_connection_added", title="Notify of connected account"):
    """Notify of a new connected account; `event_id` names the event."""

    user_id: int
    event_id: int

    def compose(self, job: EmailJob) -> Email:
        return ConnectionChanged.of(job, self.user_id, self.event_id, is_added=True)


class SendConnectionRemoved(WarningEmail, kind="send_connection_removed", title="Notify of disconnected account"):
    user_id: int
    event_id: int

    def compose(self, job: EmailJob) -> Email:
        return ConnectionChanged.of(job, self.user_id, self.event_id, is_added=False)
