"""Emails about impersonation."""

from typing import ClassVar

from app.mail.kinds import SAMPLE_TIME, Email, EmailJob, WarningEmail, details


class SendImpersonated(WarningEmail, kind="send_impersonated", title="Notify of impersonation"):
    """Notice to a user that an administrator acted as them; `event_id` is when it began."""

    template, subject = "impersonated", "An administrator accessed your {site} account"
    sample: ClassVar = {"actor": "Grace Hopper", "reason": "You asked for help with your name.", "at": SAMPLE_TIME}
    user_id: int
    event_id: int

    def compose(self, job: EmailJob) -> Email:
        user, event = job.active(self.user_id), job.event(self.event_id)
        return self.email(user, actor=job.name(event.actor_id), reason=details(event).get("reason"), at=event.at)
