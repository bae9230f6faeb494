"""All emails, with their subjects and links."""

from datetime import datetime
from typing import Any

from app.current_site import brand
from app.emails.message import Message, compose
from app.extensions import settings
from app.models import User
from app.services.statistics import ReportRow


def address_of(path: str) -> str:
    """Return a link for an email: from BASE_URL, never from a request's Host header."""
    return f"{settings().public_url}{path}"


def verify_email(user: User, token: str) -> Message:
    return compose(
        "verify_email",
        user,
        subject=f"Confirm your email address for {brand().name}",
        link=address_of(f"/auth/verify-email/{token}"),
        hours=settings().verify_link_hours,
    )


def already_registered(user: User) -> Message:
    return compose(
        "already_registered",
        user,
        subject=f"You already have an account with {brand().name}",
        login_url=address_of("/auth/login"),
        reset_url=address_of("/auth/forgot-password"),
    )


def reset_password(user: User, token: str) -> Message:
    return compose(
        "reset_password",
        user,
        subject=f"Reset your {brand().name} password",
        link=address_of(f"/auth/reset-password/{token}"),
        minutes=settings().reset_link_minutes,
    )


def password_changed(user: User, *, at: datetime, device: str | None, address: str | None) -> Message:
    return compose(
        "password_changed",
        user,
        subject=f"Your {brand().name} password was changed",
        at=at,
        typed={"device": device},
        address=address,
        reset_url=address_of("/auth/forgot-password"),
    )


def connection_changed(
    user: User, *, label: str, is_added: bool, at: datetime, device: str | None, address: str | None, token: str | None
) -> Message:
    what = "connected to" if is_added else "disconnected from"
    return compose(
        "connection_changed",
        user,
        subject=f"{label} was {what} your {brand().name} account",
        label=label,
        is_added=is_added,
        at=at,
        typed={"device": device},
        address=address,
        connections_url=address_of("/account/connections"),
        reset_url=address_of("/auth/forgot-password"),
        **undo_link(token),
    )


# By the kind of the event: the subject's end, and what happened.
FACTOR_CHANGES = {
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


FACTORS = {"totp": "An authenticator app", "passkey": "A passkey"}


def factor_changed(
    user: User,
    *,
    what: str,
    factor: str,
    left: int | None,
    at: datetime,
    device: str | None,
    address: str | None,
    token: str | None,
) -> Message:
    subject, text = (words.format(factor=FACTORS.get(factor, "A second factor")) for words in FACTOR_CHANGES[what])
    return compose(
        "factor_changed",
        user,
        subject=f"{subject} ({brand().name})",
        text=text,
        left=left,
        at=at,
        typed={"device": device},
        address=address,
        security_url=address_of("/account/security"),
        reset_url=address_of("/auth/forgot-password"),
        **undo_link(token),
    )


def undo_link(token: str | None) -> dict[str, Any]:
    """Return template values for the link that undoes a new way to sign in."""
    link = address_of(f"/auth/undo-addition/{token}") if token else None
    return {"undo_link": link, "undo_hours": settings().undo_link_hours}


def factor_reset(user: User, *, to: str, due_at: datetime, token: str | None) -> Message:
    return compose(
        "factor_reset",
        user,
        to=to,
        subject=f"Your second factors for {brand().name} will be removed",
        email=user.email,
        due_at=due_at,
        cancel_link=address_of(f"/auth/keep-factors/{token}") if token else None,
        security_url=address_of("/account/security"),
    )


def new_device(user: User, *, at: datetime, device: str, address: str | None) -> Message:
    return compose(
        "new_device",
        user,
        subject=f"New sign-in to your {brand().name} account",
        at=at,
        typed={"device": device},
        address=address,
        sessions_url=address_of("/account/sessions"),
        reset_url=address_of("/auth/forgot-password"),
    )


def failed_sign_ins(user: User, *, count: int) -> Message:
    return compose(
        "failed_sign_ins",
        user,
        subject=f"Failed sign-ins to your {brand().name} account",
        count=count,
        reset_url=address_of("/auth/forgot-password"),
    )


def confirm_email_change(user: User, *, new_address: str, token: str) -> Message:
    return compose(
        "confirm_email_change",
        user,
        to=new_address,
        knows_them=False,
        subject=f"Confirm your new email address for {brand().name}",
        new_address=new_address,
        link=address_of(f"/auth/confirm-email-change/{token}"),
        hours=settings().email_change_link_hours,
    )


def email_change_requested(user: User, *, old_address: str, new_address: str, token: str) -> Message:
    return compose(
        "email_change_requested",
        user,
        to=old_address,
        subject=f"Your {brand().name} email address is about to change",
        new_address=new_address,
        undo_link=address_of(f"/auth/undo-email-change/{token}"),
        days=settings().email_undo_link_days,
    )


def email_changed(user: User, *, old_address: str, new_address: str, token: str) -> Message:
    return compose(
        "email_changed",
        user,
        to=old_address,
        subject=f"Your {brand().name} email address was changed",
        new_address=new_address,
        undo_link=address_of(f"/auth/undo-email-change/{token}"),
        days=settings().email_undo_link_days,
    )


def account_created(user: User, *, creator: User | None, token: str) -> Message:
    return compose(
        "account_created",
        user,
        subject=f"Your {brand().name} account",
        typed={"creator": (creator.name or creator.email) if creator else None},
        link=address_of(f"/auth/reset-password/{token}"),
        days=settings().invitation_days,
    )


def invitation(user: User, *, inviter: User | None, token: str) -> Message:
    return compose(
        "invitation",
        user,
        subject=f"You're invited to {brand().name}",
        typed={"inviter": (inviter.name or inviter.email) if inviter else None},
        link=address_of(f"/auth/invitation/{token}"),
        days=settings().invitation_days,
    )


def impersonated(user: User, *, actor: User | None, reason: str | None, at: datetime) -> Message:
    return compose(
        "impersonated",
        user,
        subject=f"An administrator accessed your {brand().name} account",
        typed={"actor": (actor.name or actor.email) if actor else None, "reason": reason},
        at=at,
        activity_url=address_of("/account/activity"),
    )


def token_reused(user: User, *, at: datetime, device: str | None, address: str | None) -> Message:
    return compose(
        "token_reused",
        user,
        subject=f"We signed out an app to protect your {brand().name} account",
        at=at,
        typed={"device": device},
        address=address,
        sessions_url=address_of("/account/sessions"),
        reset_url=address_of("/auth/forgot-password"),
    )


def api_key_made(
    user: User, *, key_name: str, prefix: str, scopes: list[str], at: datetime, token: str | None
) -> Message:
    return compose(
        "api_key_made",
        user,
        subject=f"A new API key for your {brand().name} account",
        typed={"key_name": key_name},
        prefix=prefix,
        scopes=scopes,
        at=at,
        keys_url=address_of("/account/api-keys"),
        **undo_link(token),
    )


def api_key_expires(user: User, *, key_name: str, prefix: str, at: datetime) -> Message:
    return compose(
        "api_key_expires",
        user,
        subject=f"Your {brand().name} API key expires soon",
        typed={"key_name": key_name},
        prefix=prefix,
        at=at,
        keys_url=address_of("/account/api-keys"),
    )


def api_keys_narrowed(user: User) -> Message:
    return compose(
        "api_keys_narrowed",
        user,
        subject=f"Your {brand().name} API keys can do less",
        keys_url=address_of("/account/api-keys"),
    )


def account_deactivated(user: User) -> Message:
    return compose(
        "account_deactivated",
        user,
        subject=f"Your {brand().name} account was deactivated",
        typed={"reason": user.deactivation_reason},
        until=user.deactivated_until,
    )


def account_deleted(user: User, *, erased_at: datetime | None, reason: str | None = None) -> Message:
    return compose(
        "account_deleted",
        user,
        subject=f"Your {brand().name} account was deleted",
        typed={"reason": reason},
        erased_at=erased_at,
        by_owner=user.deleted_by_owner,
        login_url=address_of("/auth/login"),
        reset_url=address_of("/auth/forgot-password"),
    )


def own_data_ready(user: User, *, until: datetime) -> Message:
    return compose(
        "own_data_ready",
        user,
        subject=f"Your {brand().name} data is ready",
        until=until,
        link=address_of("/account/data"),
        reset_url=address_of("/auth/forgot-password"),
    )


def account_activated(user: User) -> Message:
    return compose(
        "account_activated",
        user,
        subject=f"Your {brand().name} account was reactivated",
        login_url=address_of("/auth/login"),
    )


def test_mail(to: str) -> Message:
    return compose("test_mail", None, to=to, subject=f"Test email from {brand().name}")


def weekly_report(user: User, *, week: ReportRow, before: ReportRow) -> Message:
    begin = f"{week.begin.day} {week.begin:%B %Y}"
    names = {"sign_ups": "Sign-ups", "sign_ins": "Sign-ins", "failures": "Failed sign-ins", "active": "Active users"}
    return compose(
        "weekly_report",
        user,
        subject=f"{brand().name}: week of {begin}",
        week=begin,
        rows=[(text, f"{getattr(week, name) or 0:,} ({getattr(before, name) or 0:,})") for name, text in names.items()],
        link=address_of("/admin/reports"),
    )
