"""Emails of signing up and being invited."""

from datetime import timedelta
from typing import ClassVar

from app.auth.models import Purpose
from app.core import errors
from app.jobs.tasks import URGENT
from app.mail.kinds import Email, EmailJob, EmailKind, EmailTask, sample_link
from app.users.models import User, keep_words


class VerifyEmail(EmailKind):
    template, subject = "verify_email", "Confirm your email address for {site}"
    sample: ClassVar = {"link": sample_link(Purpose.VERIFY_EMAIL), "hours": 24}

    @classmethod
    def to(cls, user: User, job: EmailJob) -> Email:
        job.check_quota(cls, user.email)
        hours = job.work.lifetimes.verify_link_hours
        return cls.email(user, link=job.link(Purpose.VERIFY_EMAIL, user, timedelta(hours=hours)), hours=hours)


class AlreadyRegistered(EmailKind):
    template, subject = "already_registered", "You already have an account with {site}"

    @classmethod
    def to(cls, user: User, job: EmailJob) -> Email:
        job.check_quota(cls, user.email)
        return cls.email(user)


class SendConfirmation(EmailTask, kind="answer_registration", title="Send confirmation email", queue=URGENT):
    """A confirmation link, or a notice that there is an account already: the worker decides, not the page."""

    user_id: int

    def compose(self, job: EmailJob) -> Email:
        user = job.active(self.user_id)
        if user.is_verified():
            return AlreadyRegistered.to(user, job)
        # Checked here and not at sign-up, where each address must cause the same statements.
        keep_words(job.work.session.connection(), user.id, user.name, user.email)
        return VerifyEmail.to(user, job)


class ResendConfirmation(EmailTask, kind="answer_resend_verification", title="Resend confirmation email", queue=URGENT):
    """`user_id` is None when the address is unknown, so that the row looks the same."""

    user_id: int | None

    def compose(self, job: EmailJob) -> Email:
        user = job.active(self.user_id)
        return AlreadyRegistered.to(user, job) if user.is_verified() else VerifyEmail.to(user, job)


class SendAccountCreated(EmailTask, kind="send_account_created", title="Send link to a new user", queue=URGENT):
    """Send a link to choose a password to a user whose account `creator_id` created."""

    template, subject = "account_created", "Your {site} account"
    sample: ClassVar = {"creator": "Grace Hopper", "link": sample_link(Purpose.RESET_PASSWORD), "days": 7}
    user_id: int
    creator_id: int | None

    def compose(self, job: EmailJob) -> Email:
        user = job.active(self.user_id)
        if user.hashed_password is not None:
            raise errors.NothingToDo("the account has a password")
        job.check_quota(SendAccountCreated, user.email)
        days = job.work.lifetimes.invitation_days
        link = job.link(Purpose.RESET_PASSWORD, user, timedelta(days=days))
        return self.email(user, creator=job.name(self.creator_id), link=link, days=days)
