"""A sample of each email, for the preview and for checking overridden templates."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from app.emails import messages
from app.emails.message import Message
from app.models import User
from app.services.statistics import ReportRow

AT = datetime(2026, 11, 12, 14, 5, tzinfo=UTC)
TOKEN = "a-sample-of-a-link-which-leads-nowhere-00000"
DEVICE: dict[str, Any] = {"at": AT, "device": "Firefox on Linux", "address": "203.0.113.7"}
KEY: dict[str, Any] = {"key_name": "Reporter", "prefix": "ghk_Ab12Cd", "at": AT}
CHANGE: dict[str, Any] = {"new_address": "ada@newplace.example", "token": TOKEN}


def _ada(**values: object) -> User:
    return User(id=0, email="ada@example.com", name="Ada Lovelace", email_verified_at=AT, **values)


def _grace() -> User:
    return User(id=0, email="grace@example.com", name="Grace Hopper", email_verified_at=AT)


# In the order of a list of templates. Each is called in an application context.
SAMPLES: dict[str, Callable[[], Message]] = {
    "account_activated": lambda: messages.account_activated(_ada()),
    "account_created": lambda: messages.account_created(_ada(), creator=_grace(), token=TOKEN),
    "account_deactivated": lambda: messages.account_deactivated(
        _ada(deactivation_reason="On leave until spring.", deactivated_until=AT)
    ),
    "account_deleted": lambda: messages.account_deleted(
        _ada(deleted_by_owner=False), erased_at=AT, reason="You asked us to."
    ),
    "already_registered": lambda: messages.already_registered(_ada()),
    "api_key_expires": lambda: messages.api_key_expires(_ada(), **KEY),
    "api_key_made": lambda: messages.api_key_made(_ada(), **KEY, scopes=["users:read"], token=TOKEN),
    "api_keys_narrowed": lambda: messages.api_keys_narrowed(_ada()),
    "confirm_email_change": lambda: messages.confirm_email_change(_ada(), **CHANGE),
    "connection_changed": lambda: messages.connection_changed(
        _ada(), label="Google", is_added=True, token=TOKEN, **DEVICE
    ),
    "email_change_requested": lambda: messages.email_change_requested(_ada(), old_address="ada@example.com", **CHANGE),
    "email_changed": lambda: messages.email_changed(_ada(), old_address="ada@example.com", **CHANGE),
    "factor_changed": lambda: messages.factor_changed(
        _ada(), what="factor.added", factor="passkey", left=None, token=TOKEN, **DEVICE
    ),
    "factor_reset": lambda: messages.factor_reset(_ada(), to="ada@example.com", due_at=AT, token=TOKEN),
    "failed_sign_ins": lambda: messages.failed_sign_ins(_ada(), count=10),
    "impersonated": lambda: messages.impersonated(
        _ada(), actor=_grace(), reason="You asked for help with your name.", at=AT
    ),
    "invitation": lambda: messages.invitation(_ada(), inviter=_grace(), token=TOKEN),
    "new_device": lambda: messages.new_device(_ada(), **DEVICE),
    "own_data_ready": lambda: messages.own_data_ready(_ada(), until=AT),
    "password_changed": lambda: messages.password_changed(_ada(), **DEVICE),
    "reset_password": lambda: messages.reset_password(_ada(), TOKEN),
    "test_mail": partial(messages.test_mail, "ada@example.com"),
    "token_reused": lambda: messages.token_reused(_ada(), **DEVICE),
    "verify_email": lambda: messages.verify_email(_ada(), TOKEN),
    "weekly_report": lambda: messages.weekly_report(
        _ada(),
        week=ReportRow(date(2026, 11, 9), sign_ups=12, sign_ins=340, failures=17, active=140),
        before=ReportRow(date(2026, 11, 2), sign_ups=9, sign_ins=311, failures=21, active=133),
    ),
}
