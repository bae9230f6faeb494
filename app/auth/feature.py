from datetime import timedelta

from app.api.tags import ApiTag
from app.auth import bp
from app.auth.purges import PURGES
from app.auth.tasks import PurgeUnconfirmed, SaveLastSeen
from app.core.feature import Feature
from app.jobs.services.schedule import Entry

feature = Feature(
    name="auth",
    blueprints=(bp,),
    schedule=(
        Entry("purge-unconfirmed", PurgeUnconfirmed(), timedelta(hours=1)),
        Entry("note-uses", SaveLastSeen(), timedelta(minutes=5)),
    ),
    audit_texts={
        "browser.distrusted": "Browser no longer trusted.",
        "browser.trusted": "Browser trusted for 30 days.",
        "change_password.refused": "Wrong current password when changing the password.",
        "confirm.refused": "Wrong password when confirming identity.",
        "confirm_email_change.refused": "Wrong password when confirming a new email address.",
        "email.change_cancelled": "Email address change cancelled.",
        "email.change_requested": "Email address change to {after} requested.",
        "email.change_undone": "Email address change undone from the old address.",
        "email.changed": "Email address changed from {before} to {after}.",
        "factor.added": "Second factor added: {factor}.",
        "factor.recovery_made": "New recovery codes created.",
        "factor.recovery_used": "Recovery code used. {left} left.",
        "factor.refused": "Wrong verification code.",
        "factor.removed": "Second factor removed: {factor}.",
        "factor.reset": "All second factors removed by an administrator.",
        "password.changed": "Password changed.",
        "password.link_made": "Operator created a password reset link.",
        "password.reset": "Password reset with a link.",
        "password.reset_requested": "Password reset requested.",
        "session.confirmed": "Identity confirmed.",
        "session.ended": "Session ended.",
        "session.ended_all": "Sessions ended: {count}.",
        "session.refused": "Failed sign-in.",
        "session.refused_unverified": "Sign-in refused: email address not confirmed.",
        "session.signed_out": "Signed out.",
        "session.started": "Signed in.",
        "session.token_reused": "Refresh token used twice. Session ended.",
        "user.purged_unconfirmed": "Unconfirmed accounts permanently deleted: {count}.",
        "user.registered": "Signed up.",
        "user.registered_again": "Repeated sign-up with this email address.",
        "user.verification_requested": "New confirmation link requested.",
        "user.verified": "Email address confirmed.",
        "verify_email.refused": "Wrong password when confirming the email address.",
    },
    purges=PURGES,
    api_tags=(
        ApiTag("auth", "Sign-up, sign-in and tokens.", place=10),
        ApiTag("sessions", "Your own sessions.", place=80),
    ),
)
