"""Promises that end in a mail: each looks at the truth now, and says nothing where nothing is to be said."""

from __future__ import annotations

from sqlalchemy import select

from app.emails import Message, messages
from app.errors import DeadLink
from app.extensions import settings
from app.jobs.registry import keeps
from app.models import ApiKey, EmailChange, OneTimeLink, Purpose, Session, Throttle, User, keep_words
from app.promises import (
    AnswerForgotPassword,
    AnswerRegistration,
    AnswerResendVerification,
    SendAccountActivated,
    SendAccountDeactivated,
    SendApiKeyExpires,
    SendApiKeyMade,
    SendConfirmEmailChange,
    SendEmailChanged,
    SendEmailChangeRequested,
    SendFailedSignIns,
    SendInvitation,
    SendNewDevice,
    SendPasswordChanged,
    SendTokenReused,
)
from app.services.ledger import Claim
from app.unit_of_work import Work
from app.web.devices import device_name

# What anybody can have sent to an address by typing it.
ASKED_FOR = ("verify_email", "already_registered", "reset_password")


@keeps(AnswerRegistration)
def answer_registration(work: Work, promise: AnswerRegistration, claim: Claim) -> Message | None:
    user = _asking_user(work, promise.user_id)
    if user is None:
        return None
    if user.is_verified():
        return messages.already_registered(user)
    # Here and not where it was written: the same statements run there for whoever signs up with any address.
    keep_words(work.session.connection(), user.id, user.name)
    return _verification(work, user, claim)


@keeps(AnswerResendVerification)
def answer_resend_verification(work: Work, promise: AnswerResendVerification, claim: Claim) -> Message | None:
    user = _asking_user(work, promise.user_id)
    return None if user is None or user.is_verified() else _verification(work, user, claim)


@keeps(AnswerForgotPassword)
def answer_forgot_password(work: Work, promise: AnswerForgotPassword, claim: Claim) -> Message | None:
    user = _asking_user(work, promise.user_id)
    if user is None:
        return None
    lifetime = work.lifetimes.reset_link
    _, token = work.links.issue(
        Purpose.RESET_PASSWORD, user_id=user.id, address=user.email, lifetime=lifetime, job_id=claim.job_id
    )
    return messages.reset_password(user, token)


@keeps(SendPasswordChanged)
def send_password_changed(work: Work, promise: SendPasswordChanged, claim: Claim) -> Message | None:
    user, event = _user(work, promise.user_id), work.audit.find(promise.event_id)
    if user is None or event is None:
        return None
    detail = event.detail
    device = device_name(detail.user_agent) if detail and detail.user_agent else None
    return messages.password_changed(user, at=event.at, device=device, address=detail.address if detail else None)


@keeps(SendNewDevice)
def send_new_device(work: Work, promise: SendNewDevice, claim: Claim) -> Message | None:
    user, session = _user(work, promise.user_id), work.session.get(Session, promise.session_id)
    if user is None or session is None:
        return None
    return messages.new_device(
        user, at=session.created_at, device=device_name(session.user_agent), address=session.address
    )


@keeps(SendFailedSignIns)
def send_failed_sign_ins(work: Work, promise: SendFailedSignIns, claim: Claim) -> Message | None:
    throttle = work.session.get(Throttle, promise.throttle_id)
    user = _user(work, throttle.user_id) if throttle else None
    if throttle is None or user is None or not user.is_verified():
        return None
    return messages.failed_sign_ins(user, count=throttle.failures)


@keeps(SendConfirmEmailChange)
def send_confirm_email_change(work: Work, promise: SendConfirmEmailChange, claim: Claim) -> Message | None:
    change, user = _change(work, promise.change_id)
    if change is None or user is None or change.confirmed_at or _is_taken(work, change.new_email):
        return None
    _, token = work.links.issue(
        Purpose.CHANGE_EMAIL,
        user_id=user.id,
        address=change.new_email,
        lifetime=work.lifetimes.email_change_link,
        job_id=claim.job_id,
        email_change_id=change.id,
    )
    return messages.confirm_email_change(user, new_address=change.new_email, token=token)


@keeps(SendEmailChangeRequested)
def send_email_change_requested(work: Work, promise: SendEmailChangeRequested, claim: Claim) -> Message | None:
    change, user = _change(work, promise.change_id)
    token = _undo_token(work, change, claim) if change and user else None
    if change is None or user is None or token is None:
        return None
    return messages.email_change_requested(
        user, old_address=change.old_email, new_address=change.new_email, token=token
    )


@keeps(SendEmailChanged)
def send_email_changed(work: Work, promise: SendEmailChanged, claim: Claim) -> Message | None:
    change, user = _change(work, promise.change_id)
    token = _undo_token(work, change, claim) if change and user else None
    if change is None or user is None or token is None:
        return None
    return messages.email_changed(user, old_address=change.old_email, new_address=change.new_email, token=token)


@keeps(SendAccountDeactivated)
def send_account_deactivated(work: Work, promise: SendAccountDeactivated, claim: Claim) -> Message | None:
    user = work.session.get(User, promise.user_id)
    return None if user is None or user.is_active else messages.account_deactivated(user)


@keeps(SendAccountActivated)
def send_account_activated(work: Work, promise: SendAccountActivated, claim: Claim) -> Message | None:
    user = _user(work, promise.user_id)
    return None if user is None else messages.account_activated(user)


@keeps(SendInvitation)
def send_invitation(work: Work, promise: SendInvitation, claim: Claim) -> Message | None:
    user = _user(work, promise.user_id)
    if user is None or user.is_verified() or user.hashed_password is not None:
        return None
    inviter = _user(work, promise.inviter_id)
    _, token = work.links.issue(
        Purpose.INVITATION,
        user_id=user.id,
        address=user.email,
        lifetime=work.lifetimes.invitation_link,
        job_id=claim.job_id,
    )
    return messages.invitation(user, inviter=(inviter.name or inviter.email) if inviter else None, token=token)


@keeps(SendTokenReused)
def send_token_reused(work: Work, promise: SendTokenReused, claim: Claim) -> Message | None:
    user, event = _user(work, promise.user_id), work.audit.find(promise.event_id)
    if user is None or event is None:
        return None
    detail = event.detail
    device = device_name(detail.user_agent) if detail and detail.user_agent else None
    return messages.token_reused(user, at=event.at, device=device, address=detail.address if detail else None)


@keeps(SendApiKeyMade)
def send_api_key_made(work: Work, promise: SendApiKeyMade, claim: Claim) -> Message | None:
    key, user = _key(work, promise.key_id)
    if key is None or user is None:
        return None
    return messages.api_key_made(user, key_name=key.name, prefix=key.prefix, scopes=key.scopes, at=key.created_at)


@keeps(SendApiKeyExpires)
def send_api_key_expires(work: Work, promise: SendApiKeyExpires, claim: Claim) -> Message | None:
    key, user = _key(work, promise.key_id)
    if key is None or user is None or key.expires_at is None or key.ended_at is not None:
        return None
    return messages.api_key_expires(user, key_name=key.name, prefix=key.prefix, at=key.expires_at)


def _key(work: Work, key_id: int) -> tuple[ApiKey | None, User | None]:
    key = work.session.get(ApiKey, key_id)
    return (key, _user(work, key.user_id)) if key is not None else (None, None)


def _user(work: Work, user_id: int | None) -> User | None:
    """The active user, or nobody."""
    user = work.session.get(User, user_id) if user_id is not None else None
    return user if user is not None and user.is_active else None


def _asking_user(work: Work, user_id: int | None) -> User | None:
    """The active user, unless strangers have had enough mails sent to them for now; the last one still works."""
    user = _user(work, user_id)
    if user is None or work.mails.count_recent(user.id, ASKED_FOR) >= settings().mails_per_address_per_hour:
        return None
    return user


def _verification(work: Work, user: User, claim: Claim) -> Message:
    _, token = work.links.issue(
        Purpose.VERIFY_EMAIL,
        user_id=user.id,
        address=user.email,
        lifetime=work.lifetimes.verify_link,
        job_id=claim.job_id,
    )
    return messages.verify_email(user, token)


def _is_taken(work: Work, email: str) -> bool:
    confirmed = select(User.id).where(User.email == email, User.email_verified_at.is_not(None))
    return work.session.scalar(confirmed) is not None


def _change(work: Work, change_id: int) -> tuple[EmailChange | None, User | None]:
    change = work.session.get(EmailChange, change_id)
    if change is None or change.ended_at is not None:
        return None, None
    return change, _user(work, change.user_id)


def _undo_token(work: Work, change: EmailChange, claim: Claim) -> str | None:
    """The one link that undoes this change, the same in both mails; None when it was used."""
    sent = work.session.scalar(
        select(OneTimeLink).where(
            OneTimeLink.email_change_id == change.id, OneTimeLink.purpose == Purpose.UNDO_EMAIL_CHANGE
        )
    )
    try:
        if sent is not None:
            return work.links.token_of(sent)
    except DeadLink:
        return None
    _, token = work.links.issue(
        Purpose.UNDO_EMAIL_CHANGE,
        user_id=change.user_id,
        address=change.old_email,
        lifetime=work.lifetimes.email_undo_link,
        job_id=claim.job_id,
        email_change_id=change.id,
    )
    return token
