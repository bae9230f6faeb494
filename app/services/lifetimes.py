from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Durations and limits as plain values, so that services need no settings."""

    session_idle: timedelta = timedelta(hours=12)
    session_absolute: timedelta = timedelta(days=7)
    remember_idle: timedelta = timedelta(days=30)
    remember_absolute: timedelta = timedelta(days=90)
    verify_link: timedelta = timedelta(hours=24)
    reset_link: timedelta = timedelta(hours=1)
    email_change_link: timedelta = timedelta(hours=24)
    email_undo_link: timedelta = timedelta(days=14)
    confirmation: timedelta = timedelta(minutes=10)
    undo_link: timedelta = timedelta(hours=72)
    unconfirmed_account: timedelta = timedelta(days=7)
    impersonation: timedelta = timedelta(minutes=30)
    factor_reset: timedelta = timedelta(hours=24)
    deleted_account: timedelta = timedelta(days=30)
    own_deletion: timedelta = timedelta(days=14)
    invitation_link: timedelta = timedelta(days=7)
    access_token: timedelta = timedelta(minutes=10)
    job_lease: timedelta = timedelta(minutes=2)
    notify_again: timedelta = timedelta(seconds=30)
    finished_job: timedelta = timedelta(days=30)
    sent_mail: timedelta = timedelta(days=90)
    # None: for ever.
    audit_event: timedelta | None = None
    device: timedelta = timedelta(days=400)
    import_rows_per_day: int = 1_000_000
    mails_per_hour: int = 5
    sessions_per_user: int = 100
    free_tries: int = 5
    longest_delay: timedelta = timedelta(minutes=15)
    failures_forgotten: timedelta = timedelta(hours=24)
