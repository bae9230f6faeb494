"""Descriptions of audit events, for their users and for administrators."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.audit.models import AuditEvent
from app.core.user_agents import device_name

SENTENCES = {
    "access.refused": "Access denied: {permission} is required.",
    "confirm.refused": "Wrong password when confirming identity.",
    "confirm_email_change.refused": "Wrong password when confirming a new email address.",
    "browser.distrusted": "Browser no longer trusted.",
    "browser.trusted": "Browser trusted for 30 days.",
    "factor.added": "Second factor added: {factor}.",
    "factor.counter_fell": "Passkey “{name}” may have been cloned.",
    "factor.recovery_made": "New recovery codes created.",
    "factor.recovery_used": "Recovery code used. {left} left.",
    "factor.refused": "Wrong verification code.",
    "factor.reset": "All second factors removed by an administrator.",
    "factor.reset_begun": "Removal of all second factors scheduled by an administrator: {reason}",
    "factor.reset_cancelled": "Removal of all second factors cancelled.",
    "factor.renamed": "Passkey “{before}” renamed to “{after}”.",
    "factor.removed": "Second factor removed: {factor}.",
    "audit.exported": "Audit log exported.",
    "api_key.ended": "API key revoked.",
    "api_key.ended_all": "All API keys revoked: {count}.",
    "api_key.made": "API key “{name}” created.",
    "api_key.renamed": "API key “{before}” renamed to “{after}”.",
    "connection.added": "{provider} connected.",
    "connection.removed": "{provider} disconnected.",
    "change_password.refused": "Wrong current password when changing the password.",
    "email.change_cancelled": "Email address change cancelled.",
    "email.change_requested": "Email address change to {after} requested.",
    "email.change_undone": "Email address change undone from the old address.",
    "email.changed": "Email address changed from {before} to {after}.",
    "grant.given": "Permission {permission} granted on {resource}.",
    "grant.taken": "Permission {permission} revoked on {resource}.",
    "impersonation.ended": "Impersonation ended.",
    "impersonation.started": "An administrator impersonated this user: {reason}",
    "import.done": "User import finished.",
    "import.started": "User import started: {rows} rows.",
    "import.uploaded": "User import uploaded: {file}.",
    "invitation.accepted": "Invitation accepted.",
    "invitation.resent": "Invitation sent again.",
    "invitation.revoked": "Invitation revoked.",
    "job.cancelled": "Job {job} ({task}) cancelled.",
    "job.retried": "Job {job} ({task}) retried.",
    "job.run": "Job {job} ({task}) was run early.",
    "jobs.retried": "Dead and cancelled jobs retried: {count} (state: {states}, task: {task}).",
    "mail.resent": "Email sent again by an administrator: {mail}.",
    "password.changed": "Password changed.",
    "password.link_made": "Operator created a password reset link.",
    "password.reset": "Password reset with a link.",
    "password.reset_requested": "Password reset requested.",
    "role.assigned": "Role {role} assigned.",
    "role.changed": "Role {role} changed: {changes}.",
    "role.deleted": "Role {role} deleted.",
    "role.made": "Role {role} created: {changes}.",
    "role.unassigned": "Role {role} removed.",
    "schedule.paused": "Schedule entry {entry} paused.",
    "schedule.resumed": "Schedule entry {entry} resumed.",
    "schedule.run": "Schedule entry {entry} run as job {job}.",
    "site.restored": "Site restored from a backup.",
    "site.changed": "Site settings changed.",
    "session.confirmed": "Identity confirmed.",
    "session.ended": "Session ended.",
    "session.ended_all": "Sessions ended: {count}.",
    "session.refused": "Failed sign-in.",
    "session.refused_unverified": "Sign-in refused: email address not confirmed.",
    "session.signed_out": "Signed out.",
    "session.started": "Signed in.",
    "session.token_reused": "Refresh token used twice. Session ended.",
    "user.activated": "Account reactivated.",
    "user.changed": "{field} changed from “{before}” to “{after}”.",
    "user.created": "Account created.",
    "user.data_requested": "Copy of the account's data requested.",
    "user.deactivated": "Account deactivated: {reason}",
    "user.deleted": "Account deleted.",
    "user.erased": "Account permanently deleted.",
    "user.imported": "Account created by import {import_id}.",
    "user.invited": "User invited.",
    "user.list_exported": "List of users exported.",
    "user.purged_unconfirmed": "Unconfirmed accounts permanently deleted: {count}.",
    "user.registered": "Signed up.",
    "user.registered_again": "Repeated sign-up with this email address.",
    "user.renamed": "Name changed from “{before}” to “{after}”.",
    "user.restored": "Account restored.",
    "user.verification_requested": "New confirmation link requested.",
    "user.verified": "Email address confirmed.",
    "verify_email.refused": "Wrong password when confirming the email address.",
}


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
    text = SENTENCES.get(kind, kind).format_map(_Gone(values))
    return f"{text} Reason: {values['reason']}" if kind == "user.deleted" and values.get("reason") else text
