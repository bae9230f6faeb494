"""Handlers that send emails; each reads the current state and raises NothingToDo if the email is obsolete."""

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import func, select

from app import errors
from app.emails import Message, messages
from app.emails.samples import SAMPLES
from app.extensions import settings
from app.jobs.registry import handles
from app.models import (
    ApiKey,
    AuditEvent,
    EmailChange,
    FactorReset,
    OAuthIdentity,
    OneTimeLink,
    Purpose,
    Session,
    Target,
    Throttle,
    User,
    keep_words,
)
from app.services.job_queue import Claim
from app.services.links import Undoable
from app.services.permissions import REPORTS_READ, permissions_of
from app.tasks import (
    ResendConfirmation,
    SendAccountActivated,
    SendAccountCreated,
    SendAccountDeactivated,
    SendAccountDeleted,
    SendApiKeyCreated,
    SendApiKeyExpires,
    SendApiKeysNarrowed,
    SendConfirmation,
    SendConfirmEmailChange,
    SendConnectionAdded,
    SendConnectionRemoved,
    SendEmailChanged,
    SendEmailChangeRequested,
    SendFactorChanged,
    SendFactorReset,
    SendFailedSignIns,
    SendImpersonated,
    SendInvitation,
    SendNewDevice,
    SendPasswordChanged,
    SendPasswordReset,
    SendSample,
    SendTokenReused,
    SendWeeklyReport,
)
from app.unit_of_work import Work
from app.web.user_agents import device_name


@handles(SendConfirmation)
def answer_registration(work: Work, task: SendConfirmation, claim: Claim) -> Message:
    user = _active(work, task.user_id)
    if user.is_verified():
        return _already_registered(work, user, claim)
    # Checked here and not at sign-up, where each address must cause the same statements.
    keep_words(work.session.connection(), user.id, user.name, user.email)
    return _verification(work, user, claim)


@handles(ResendConfirmation)
def answer_resend_verification(work: Work, task: ResendConfirmation, claim: Claim) -> Message:
    user = _active(work, task.user_id)
    return _already_registered(work, user, claim) if user.is_verified() else _verification(work, user, claim)


@handles(SendPasswordReset)
def answer_forgot_password(work: Work, task: SendPasswordReset, claim: Claim) -> Message:
    user = _user(work, task.user_id)
    if not user.is_active and not user.is_closed():
        raise errors.NothingToDo("the account is deactivated")
    _check_quota(work, claim, kind="reset_password", recipient=user.email)
    return messages.reset_password(
        user,
        _link(work, claim, Purpose.RESET_PASSWORD, user, lifetime=timedelta(minutes=work.lifetimes.reset_link_minutes)),
    )


@handles(SendPasswordChanged)
def send_password_changed(work: Work, task: SendPasswordChanged, claim: Claim) -> Message:
    user, event = _active(work, task.user_id), _event(work, task.event_id)
    device, address = _visit(event)
    return messages.password_changed(user, at=event.at, device=device, address=address)


@handles(SendConnectionAdded)
def send_connection_added(work: Work, task: SendConnectionAdded, claim: Claim) -> Message:
    return _connection_changed(work, task.user_id, task.event_id, claim, is_added=True)


@handles(SendConnectionRemoved)
def send_connection_removed(work: Work, task: SendConnectionRemoved, claim: Claim) -> Message:
    return _connection_changed(work, task.user_id, task.event_id, claim, is_added=False)


@handles(SendFactorChanged)
def send_factor_changed(work: Work, task: SendFactorChanged, claim: Claim) -> Message:
    user, event = _active(work, task.user_id), _event(work, task.event_id)
    device, address = _visit(event)
    values = event.detail.values if event.detail else {}
    return messages.factor_changed(
        user,
        what=event.kind,
        factor=str(values.get("factor")),
        left=values.get("left"),
        at=event.at,
        device=device,
        address=address,
        token=_undo_addition(work, claim, user, Undoable.read(Target.AUTHENTICATOR, values)),
    )


@handles(SendFactorReset)
def send_factor_reset(work: Work, task: SendFactorReset, claim: Claim) -> Message:
    reset = work.session.get(FactorReset, task.reset_id)
    if reset is None or reset.ended_at is not None:
        raise errors.NothingToDo("cancelled or already done")
    user = _active(work, reset.user_id)
    address, since = user.email, _address_since(work, user, before=None)
    if task.connection_id is not None:
        connection = work.session.get(OAuthIdentity, task.connection_id)
        address, since = (connection.email or "", connection.created_at) if connection else ("", since)
    elif task.change_id is not None:
        change = work.session.get(EmailChange, task.change_id)
        address = change.old_email if change else ""
        since = _address_since(work, user, before=task.change_id)
    if not address or (address == user.email and (task.connection_id or task.change_id)):
        raise errors.NothingToDo("the address was removed, or is the account's address")
    token = None
    if work.factor_resets.is_old_address(reset, since):
        token = work.links.issue(
            Purpose.KEEP_FACTORS,
            user_id=user.id,
            address=address,
            lifetime=max(reset.due_at - work.clock(), timedelta()),
            job_id=claim.job_id,
            undoes=Undoable(Target.FACTOR_RESET, reset.id, reset.begun_at),
        )[1]
    return messages.factor_reset(user, to=address, due_at=reset.due_at, token=token)


@handles(SendNewDevice)
def send_new_device(work: Work, task: SendNewDevice, claim: Claim) -> Message:
    user, session = _active(work, task.user_id), work.session.get(Session, task.session_id)
    if session is None:
        raise errors.NothingToDo("the session no longer exists")
    return messages.new_device(
        user, at=session.created_at, device=device_name(session.user_agent), address=session.address
    )


@handles(SendFailedSignIns)
def send_failed_sign_ins(work: Work, task: SendFailedSignIns, claim: Claim) -> Message:
    throttle = work.session.get(Throttle, task.throttle_id)
    if throttle is None:
        raise errors.NothingToDo("the counter no longer exists")
    user = _active(work, throttle.user_id)
    if not user.is_verified():
        raise errors.NothingToDo("the address was never confirmed")
    return messages.failed_sign_ins(user, count=throttle.failures)


@handles(SendConfirmEmailChange)
def send_confirm_email_change(work: Work, task: SendConfirmEmailChange, claim: Claim) -> Message:
    change, user = _change(work, task.change_id)
    if change.confirmed_at:
        raise errors.NothingToDo("the change is already confirmed")
    if _is_taken(work, change.new_email):
        raise errors.NothingToDo("the new address belongs to another account")
    _check_quota(work, claim, kind="confirm_email_change", recipient=change.new_email)
    _, token = work.links.issue(
        Purpose.CHANGE_EMAIL,
        user_id=user.id,
        address=change.new_email,
        lifetime=timedelta(hours=work.lifetimes.email_change_link_hours),
        job_id=claim.job_id,
        email_change_id=change.id,
    )
    return messages.confirm_email_change(user, new_address=change.new_email, token=token)


@handles(SendEmailChangeRequested)
def send_email_change_requested(work: Work, task: SendEmailChangeRequested, claim: Claim) -> Message:
    change, user = _change(work, task.change_id)
    return messages.email_change_requested(
        user,
        old_address=change.old_email,
        new_address=change.new_email,
        token=_undo_token(work, change, claim),
    )


@handles(SendEmailChanged)
def send_email_changed(work: Work, task: SendEmailChanged, claim: Claim) -> Message:
    change, user = _change(work, task.change_id)
    return messages.email_changed(
        user, old_address=change.old_email, new_address=change.new_email, token=_undo_token(work, change, claim)
    )


@handles(SendAccountDeactivated)
def send_account_deactivated(work: Work, task: SendAccountDeactivated, claim: Claim) -> Message:
    user = _user(work, task.user_id)
    if user.deactivated_at is None:
        raise errors.NothingToDo("the account is active again")
    return messages.account_deactivated(user)


@handles(SendAccountDeleted)
def send_account_deleted(work: Work, task: SendAccountDeleted, claim: Claim) -> Message:
    user = _user(work, task.user_id)
    if user.deleted_at is None:
        raise errors.NothingToDo("the deletion was undone")
    reason = work.users.deletion_reason(user.id)
    return messages.account_deleted(user, erased_at=work.users.erased_at(user), reason=reason)


@handles(SendAccountActivated)
def send_account_activated(work: Work, task: SendAccountActivated, claim: Claim) -> Message:
    return messages.account_activated(_active(work, task.user_id))


@handles(SendImpersonated)
def send_impersonated(work: Work, task: SendImpersonated, claim: Claim) -> Message:
    user, event = _active(work, task.user_id), _event(work, task.event_id)
    actor = work.session.get(User, event.actor_id) if event.actor_id is not None else None
    reason = event.detail.values.get("reason") if event.detail else None
    return messages.impersonated(user, actor=actor, reason=reason, at=event.at)


@handles(SendAccountCreated)
def send_account_created(work: Work, task: SendAccountCreated, claim: Claim) -> Message:
    user = _active(work, task.user_id)
    if user.hashed_password is not None:
        raise errors.NothingToDo("the account has a password")
    _check_quota(work, claim, kind="account_created", recipient=user.email)
    creator = work.session.get(User, task.creator_id) if task.creator_id is not None else None
    token = _link(work, claim, Purpose.RESET_PASSWORD, user, lifetime=timedelta(days=work.lifetimes.invitation_days))
    return messages.account_created(user, creator=creator, token=token)


@handles(SendInvitation)
def send_invitation(work: Work, task: SendInvitation, claim: Claim) -> Message:
    user = _active(work, task.user_id)
    if user.is_verified():
        raise errors.NothingToDo("the account is already set up")
    _check_quota(work, claim, kind="invitation", recipient=user.email)
    inviter = work.session.get(User, task.inviter_id) if task.inviter_id is not None else None
    token = _link(work, claim, Purpose.INVITATION, user, lifetime=timedelta(days=work.lifetimes.invitation_days))
    return messages.invitation(user, inviter=inviter, token=token)


@handles(SendTokenReused)
def send_token_reused(work: Work, task: SendTokenReused, claim: Claim) -> Message:
    user, event = _active(work, task.user_id), _event(work, task.event_id)
    device, address = _visit(event)
    return messages.token_reused(user, at=event.at, device=device, address=address)


@handles(SendApiKeyCreated)
def send_api_key_made(work: Work, task: SendApiKeyCreated, claim: Claim) -> Message:
    key, user = _key(work, task.key_id)
    added = Undoable(Target.API_KEY, key.id, key.created_at)
    return messages.api_key_made(
        user,
        key_name=key.name,
        prefix=key.prefix,
        scopes=key.scopes,
        at=key.created_at,
        token=_undo_addition(work, claim, user, added),
    )


@handles(SendApiKeysNarrowed)
def send_api_keys_narrowed(work: Work, task: SendApiKeysNarrowed, claim: Claim) -> Message:
    return messages.api_keys_narrowed(_active(work, task.user_id))


@handles(SendApiKeyExpires)
def send_api_key_expires(work: Work, task: SendApiKeyExpires, claim: Claim) -> Message:
    key, user = _key(work, task.key_id)
    if key.expires_at is None or key.ended_at is not None:
        raise errors.NothingToDo("the API key was revoked or has expired")
    return messages.api_key_expires(user, key_name=key.name, prefix=key.prefix, at=key.expires_at)


@handles(SendWeeklyReport)
def send_weekly_report(work: Work, task: SendWeeklyReport, claim: Claim) -> Message:
    user = _active(work, task.user_id)
    if not work.statistics.is_subscribed(user.id) or REPORTS_READ not in permissions_of(user.roles):
        raise errors.NothingToDo("the user has unsubscribed or can't view reports")
    *_, before, week, _ = work.statistics.report("week")
    return messages.weekly_report(user, week=week, before=before)


@handles(SendSample)
def send_sample(work: Work, task: SendSample, claim: Claim) -> Message:
    user, samples = _active(work, task.user_id), list(SAMPLES.values())
    if not 0 <= task.sample_id < len(samples):
        raise errors.NothingToDo("unknown sample")
    sample = samples[task.sample_id]()
    return replace(sample, kind="sample", user_id=user.id, to=user.email, subject=f"[Sample] {sample.subject}")


# ── reading ──


def _connection_changed(work: Work, user_id: int, event_id: int, claim: Claim, *, is_added: bool) -> Message:
    user, event = _active(work, user_id), _event(work, event_id)
    device, address = _visit(event)
    values = event.detail.values if event.detail else {}
    name = str(values.get("provider", ""))
    provider = settings().find_provider(name)
    return messages.connection_changed(
        user,
        label=provider.label if provider else name,
        is_added=is_added,
        at=event.at,
        device=device,
        address=address,
        token=_undo_addition(work, claim, user, Undoable.read(Target.CONNECTION, values)),
    )


def _user(work: Work, user_id: int | None) -> User:
    """Return the user, locked against deletion until the email's record is written. Raises NothingToDo."""
    query = select(User).where(User.id == user_id).with_for_update(read=True, key_share=True)
    user = work.session.scalar(query) if user_id is not None else None
    if user is None:
        raise errors.NothingToDo("the user no longer exists")
    return user


def _active(work: Work, user_id: int | None) -> User:
    user = _user(work, user_id)
    if not user.is_active:
        raise errors.NothingToDo("the account is deactivated")
    return user


def _event(work: Work, event_id: int) -> AuditEvent:
    event = work.audit.find(event_id)
    if event is None:
        raise errors.NothingToDo("the event no longer exists")
    return event


def _visit(event: AuditEvent) -> tuple[str | None, str | None]:
    """Return the device and the client's address of an event; None once erased."""
    detail = event.detail
    if detail is None:
        return None, None
    return (device_name(detail.user_agent) if detail.user_agent else None), detail.address


def _key(work: Work, key_id: int) -> tuple[ApiKey, User]:
    key = work.session.get(ApiKey, key_id)
    if key is None:
        raise errors.NothingToDo("the API key no longer exists")
    return key, _active(work, key.user_id)


def _change(work: Work, change_id: int) -> tuple[EmailChange, User]:
    change = work.session.get(EmailChange, change_id)
    if change is None or change.ended_at is not None:
        raise errors.NothingToDo("the change was cancelled")
    return change, _active(work, change.user_id)


def _is_taken(work: Work, email: str) -> bool:
    confirmed = select(User.id).where(User.email == email, User.email_verified_at.is_not(None))
    return work.session.scalar(confirmed) is not None


# ── sending ──


def _check_quota(work: Work, claim: Claim, *, kind: str, recipient: str) -> None:
    """Check the quota of emails that others can cause, by kind. Raises NothingToDo; the last sent link stays valid."""
    if not work.mail_quota.is_below_quota(claim.job_id, kind=kind, recipient=recipient):
        raise errors.NothingToDo("too many emails of this kind to this address within an hour")


def _already_registered(work: Work, user: User, claim: Claim) -> Message:
    _check_quota(work, claim, kind="already_registered", recipient=user.email)
    return messages.already_registered(user)


def _verification(work: Work, user: User, claim: Claim) -> Message:
    _check_quota(work, claim, kind="verify_email", recipient=user.email)
    return messages.verify_email(
        user, _link(work, claim, Purpose.VERIFY_EMAIL, user, lifetime=timedelta(hours=work.lifetimes.verify_link_hours))
    )


def _link(work: Work, claim: Claim, purpose: Purpose, user: User, *, lifetime: timedelta) -> str:
    """Return the token of this job's link to the user's own address. Raises InvalidLink if it has ended."""
    return work.links.issue(purpose, user_id=user.id, address=user.email, lifetime=lifetime, job_id=claim.job_id)[1]


def _undo_addition(work: Work, claim: Claim, user: User, added: Undoable | None) -> str | None:
    """Return the token of the link that undoes the addition in this job's email, or None without one.

    Raises InvalidLink if the link was used.
    """
    if added is None:
        return None
    lifetime = timedelta(hours=work.lifetimes.undo_link_hours)
    undo = Purpose.UNDO_ADDITION
    return work.links.issue(
        undo, user_id=user.id, address=user.email, lifetime=lifetime, job_id=claim.job_id, undoes=added
    )[1]


def _address_since(work: Work, user: User, *, before: int | None) -> datetime:
    """Return since when the account has had its address, or had the one it left with the change `before`."""
    confirmed = select(func.max(EmailChange.confirmed_at)).where(EmailChange.user_id == user.id)
    if before is not None:
        confirmed = confirmed.where(EmailChange.id < before)
    return work.session.scalar(confirmed) or user.created_at


def _undo_token(work: Work, change: EmailChange, claim: Claim) -> str:
    """Return the link that undoes this change, the same in both emails. Raises InvalidLink if it is used or expired."""
    sent = work.session.scalar(
        select(OneTimeLink).where(
            OneTimeLink.email_change_id == change.id, OneTimeLink.purpose == Purpose.UNDO_EMAIL_CHANGE
        )
    )
    if sent is not None:
        return work.links.token_of(sent)
    _, token = work.links.issue(
        Purpose.UNDO_EMAIL_CHANGE,
        user_id=change.user_id,
        address=change.old_email,
        lifetime=timedelta(days=work.lifetimes.email_undo_link_days),
        job_id=claim.job_id,
        email_change_id=change.id,
    )
    return token
