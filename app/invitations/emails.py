"""The invitation by email."""

from datetime import timedelta
from typing import ClassVar

from app.auth.models import Purpose
from app.core import errors
from app.jobs.tasks import URGENT
from app.mail.kinds import Email, EmailJob, EmailTask, sample_link


class SendInvitation(EmailTask, kind="send_invitation", title="Send invitation", queue=URGENT):
    """Send a link to set name and password to the invited address; the email names the user `inviter_id`."""

    template, subject = "invitation", "You're invited to {site}"
    sample: ClassVar = {"inviter": "Grace Hopper", "link": sample_link(Purpose.INVITATION), "days": 7}
    user_id: int
    inviter_id: int | None

    def compose(self, job: EmailJob) -> Email:
        user = job.active(self.user_id)
        if user.is_verified():
            raise errors.NothingToDo("the account is already set up")
        job.check_quota(SendInvitation, user.email)
        days = job.work.lifetimes.invitation_days
        link = job.link(Purpose.INVITATION, user, timedelta(days=days))
        return self.email(user, inviter=job.name(self.inviter_id), link=link, days=days)
