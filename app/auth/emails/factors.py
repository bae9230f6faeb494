"""Emails about second factors."""

from typing import Any, ClassVar

from app.auth.models import Purpose, Target, Undoable
from app.mail.kinds import SAMPLE_VISIT, Email, EmailJob, WarningEmail, details, sample_link, visit

# By the kind of the event: the start of the subject, and what happened. Kinds of factors add their own.
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


# For an event of a feature that is gone.
UNKNOWN = ("A second factor has changed", "A second factor of your account has changed.")


def described(texts: tuple[str, str], factor: str) -> dict[str, Any]:
    change, text = (words.format(factor=factor) for words in texts)
    return {"change": change, "text": text}


class SendFactorChanged(WarningEmail, kind="send_factor_changed", title="Notify of second factor change"):
    """Notice of a change or use of a second factor, or of wrong codes; `event_id` says which."""

    template, subject = "factor_changed", "{change} ({site})"
    sample: ClassVar = {
        **described(CHANGES["factor.added"], "A passkey"),
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
        kinds = job.work.factor_kinds
        changes = {name: texts for kind in kinds.values() for name, texts in kind.changes.items()} | CHANGES
        kind = kinds.get(str(values.get("factor")))
        words = described(changes.get(event.kind, UNKNOWN), kind.words.one if kind else "A second factor")
        return self.email(user, left=values.get("left"), **words, **visit(event), **undo)
