"""Audit events as sentences, for their subject and for administrators."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.models import AuditEvent
from app.web.devices import device_name

SENTENCES = {
    "access.refused": "A page that needs the permission {permission} was refused.",
    "confirm.refused": "A wrong password was given when asked to confirm.",
    "confirm_email_change.refused": "A wrong password was given to confirm a new address.",
    "browser.distrusted": "A browser is not trusted any more.",
    "browser.trusted": "A browser was trusted for 30 days without a second factor.",
    "factor.added": "A second factor was set up: {factor}.",
    "factor.counter_fell": "The counter of the passkey “{name}” did not grow: there could be a copy of it.",
    "factor.recovery_made": "New recovery codes were made.",
    "factor.recovery_used": "A recovery code was used; {left} are left.",
    "factor.refused": "A wrong code was given as a second factor.",
    "factor.reset": "All second factors were removed, for somebody who had lost them.",
    "factor.reset_begun": "An administrator began to remove all second factors: {reason}",
    "factor.reset_cancelled": "The removal of all second factors was cancelled.",
    "factor.removed": "A second factor was removed: {factor}.",
    "audit.exported": "The audit log was exported.",
    "api_key.ended": "An API key was ended.",
    "api_key.ended_all": "All API keys were revoked: {count}.",
    "api_key.made": "The API key “{name}” was made.",
    "api_key.renamed": "The API key “{before}” was renamed to “{after}”.",
    "connection.added": "The account was connected to {provider}.",
    "connection.removed": "The connection to {provider} was removed.",
    "change_password.refused": "A wrong current password was given to change the password.",
    "email.change_cancelled": "The change of address was cancelled.",
    "email.change_requested": "A change of address to {after} was asked for.",
    "email.change_undone": "The change of address was undone from the old address.",
    "email.changed": "The address changed from {before} to {after}.",
    "grant.given": "The permission {permission} on {resource} was given.",
    "grant.taken": "The permission {permission} on {resource} was taken away.",
    "impersonation.ended": "The administrator who acted as this user stopped.",
    "impersonation.started": "An administrator began to act as this user: {reason}",
    "import.done": "An import of users ended.",
    "import.started": "An import of users was started: {rows} rows.",
    "import.uploaded": "The file {file} was uploaded to import users.",
    "invitation.accepted": "The invitation was accepted.",
    "invitation.resent": "The invitation was sent again.",
    "invitation.revoked": "The invitation was revoked.",
    "job.cancelled": "Job {job} ({task}) was cancelled.",
    "job.retried": "Job {job} ({task}) was retried.",
    "job.run": "Job {job} ({task}) was run ahead of its time.",
    "jobs.retried": "Dead and cancelled jobs were retried: {count} (state: {states}, task: {task}).",
    "mail.resent": "A mail was sent again by an administrator: {mail}.",
    "password.changed": "The password was changed.",
    "password.link_made": "An operator made a link to set a new password.",
    "password.reset": "The password was reset with a link from a mail.",
    "password.reset_requested": "A link to reset the password was asked for.",
    "role.assigned": "The role {role} was given.",
    "role.changed": "The role {role} was changed: {changes}.",
    "role.deleted": "The role {role} was deleted.",
    "role.made": "The role {role} was made: {changes}.",
    "role.unassigned": "The role {role} was taken away.",
    "schedule.paused": "The schedule entry {entry} was paused.",
    "schedule.resumed": "The schedule entry {entry} was resumed.",
    "schedule.run": "The schedule entry {entry} was run as job {job}.",
    "site.restored": "The site was restored from a backup.",
    "site.changed": "The settings of the site were changed.",
    "session.confirmed": "It was confirmed who they are, before a sensitive action.",
    "session.ended": "A session was ended.",
    "session.ended_all": "Sessions ended: {count}.",
    "session.refused": "Somebody tried to sign in and was refused.",
    "session.refused_unverified": "A sign-in was refused because the address was not confirmed yet.",
    "session.signed_out": "Signed out.",
    "session.started": "Signed in.",
    "session.token_reused": "A refresh token was used twice, so its sign-in was ended.",
    "user.activated": "The account was activated again.",
    "user.created": "The account was created.",
    "user.data_requested": "A copy of everything about the account was asked for.",
    "user.deactivated": "The account was deactivated: {reason}",
    "user.deleted": "The account was deleted.",
    "user.erased": "The account was erased.",
    "user.imported": "The account was created by import {import_id}.",
    "user.invited": "The person was invited.",
    "user.list_exported": "The list of users was exported.",
    "user.purged_unconfirmed": "Accounts that were never confirmed were erased: {count}.",
    "user.registered": "The account was registered.",
    "user.registered_again": "Somebody tried to register with this address again.",
    "user.renamed": "The name changed from “{before}” to “{after}”.",
    "user.restored": "The deletion of the account was undone.",
    "user.verification_requested": "A new confirmation link was asked for.",
    "user.verified": "The address was confirmed.",
    "verify_email.refused": "A wrong password was given to confirm the address.",
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
    """`for_user_id` reads about themselves: from where somebody else acted on them is not theirs to know."""
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
    """Only our own sentence is the format string; user input is only ever a value."""
    text = SENTENCES.get(kind, kind).format_map(_Gone(values))
    return f"{text} Reason: {values['reason']}" if kind == "user.deleted" and values.get("reason") else text
