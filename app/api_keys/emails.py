"""Emails about API keys."""

from typing import Any, ClassVar

from app.api_keys.models import ApiKey
from app.auth.models import Target, Undoable
from app.core import errors
from app.mail.kinds import (
    SAMPLE_TIME,
    SAMPLE_UNDO,
    Email,
    EmailJob,
    EmailTask,
    WarningEmail,
)
from app.users.models import User

SAMPLE_KEY: dict[str, Any] = {"key_name": "Reporter", "prefix": "ghk_Ab12Cd", "at": SAMPLE_TIME}


class SendApiKeyCreated(WarningEmail, kind="send_api_key_made", title="Notify of new API key"):
    template, subject = "api_key_made", "A new API key for your {site} account"
    sample: ClassVar = {**SAMPLE_KEY, **SAMPLE_UNDO, "scopes": ["users:read"]}
    key_id: int

    def compose(self, job: EmailJob) -> Email:
        key, user = _key(job, self.key_id)
        undo = job.undo(user, Undoable(Target.API_KEY, key.id, key.created_at))
        return self.email(user, key_name=key.name, prefix=key.prefix, scopes=key.scopes, at=key.created_at, **undo)


class SendApiKeysNarrowed(EmailTask, kind="send_api_keys_narrowed", title="Notify of changed API key scopes"):
    """Notify that keys created before scopes for the own account can do less; a migration enqueues it."""

    template, subject = "api_keys_narrowed", "Your {site} API keys can do less"
    user_id: int

    def compose(self, job: EmailJob) -> Email:
        return self.email(job.active(self.user_id))


class SendApiKeyExpires(EmailTask, kind="send_api_key_expires", title="Notify of expiring API key"):
    template, subject = "api_key_expires", "Your {site} API key expires soon"
    sample = SAMPLE_KEY
    key_id: int

    def compose(self, job: EmailJob) -> Email:
        key, user = _key(job, self.key_id)
        if key.expires_at is None or key.ended_at is not None:
            raise errors.NothingToDo("the API key was revoked or has expired")
        return self.email(user, key_name=key.name, prefix=key.prefix, at=key.expires_at)


def _key(job: EmailJob, key_id: int) -> tuple[ApiKey, User]:
    key = job.work.session.get(ApiKey, key_id)
    if key is None:
        raise errors.NothingToDo("the API key no longer exists")
    return key, job.active(key.user_id)
