"""Emails about second factors."""

from typing import Any, ClassVar

from app.auth.models import Purpose, Target, Undoable
from app.mail.kinds import SAMPLE_VISIT, Email, EmailJob, WarningEmail, details, sample_link, visit

FACTORS = {"totp": "An authenticator app", "passkey": "A passkey"}
# By the kind of the event: the start of the subject, and what happened.
CHANGES = {
    "factor.added": ("{factor} was added", "{factor} was added to your account."),
    "factor.removed": (
        "{factor} was removed",
        "{factor} was removed from your account. If it was your last one, only your password protects your account.",
    ),
    "factor.reset": (
        "Your second factors were removed",
        "An administrator removed the second factors of your account. Sign in and set up new ones.",
    ),
    "factor.counter_fell": (
        "A passkey may have been copied",
        "A passkey of your account may have been copied: its counter went backwards. If in doubt, remove it.",
    ),
    "factor.recovery_made": (
        "New recovery codes",
        "New recovery codes were created for your account. Your old codes no longer work.",
    ),
    "factor.recovery_used": ("Recovery code used", "A recovery code of your account was used."),
    "factor.refused": (
        "Wrong verification codes",
        "Someone signed in with your password, then entered several wrong verification codes. They did not get in.",
    ),
}


def described(kind: str, factor: str) -> dict[str, Any]:
    change, text = (words.format(factor=FACTORS.get(factor, "A second factor")) for words in CHANGES[kind])
    return {"change": change, "text": text}


class SendFactorChanged(WarningEmail, kind="send_factor_changed", title="Notify of second factor change"):
    """Notice of a change or use of a second factor, or of wrong codes; `event_id` says which."""

    template, subject = "factor_changed", "{change} ({site})"
    sample: ClassVar = {
        **described("factor.added", "passkey"),
        **SAMPLE_VISIT,
        "left": None,
        "undo_link": sample_link(Purpose.UNDO_ADDITION),
        "undo_hours": 72,
    }
    user_id: int
    event_id: int

    def compose(self, job: EmailJob) -> Email:
        user, event = job.active(self.user_id), job.event(self.event_id)
        values = details(event)
        undo = job.undo(user, Undoable.read(Target.AUTHENTICATOR, values))
        words = described(event.kind, str(values.get("factor")))
        return self.email(user, left=values.get("left"), **words, **visit(event), **undo)
