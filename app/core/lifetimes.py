"""The settings that services use: durations and counts, with their units in the names."""

from pydantic import BaseModel, ConfigDict, Field


class Lifetimes(BaseModel):
    """The part of the settings with durations, which may not depend on the others."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    session_idle_minutes: int = Field(12 * 60, ge=1, le=366 * 24 * 60)
    session_absolute_hours: int = Field(7 * 24, ge=1, le=366 * 24)
    remember_idle_days: int = Field(30, ge=1, le=366)
    remember_absolute_days: int = Field(90, ge=1, le=366)
    confirmation_minutes: int = Field(10, ge=1, le=24 * 60)
    verify_link_hours: int = Field(24, ge=1, le=31 * 24)
    reset_link_minutes: int = Field(60, ge=5, le=7 * 24 * 60)
    invitation_days: int = Field(7, ge=1, le=31)
    access_token_minutes: int = Field(10, ge=1, le=60)
    email_change_link_hours: int = Field(24, ge=1, le=31 * 24)
    email_undo_link_days: int = Field(14, ge=1, le=366)
    undo_link_hours: int = Field(72, ge=1, le=31 * 24)
    sessions_per_user: int = Field(100, ge=1, le=10_000)
    mails_per_address_per_hour: int = Field(5, ge=1, le=1000)
    unconfirmed_account_days: int = Field(7, ge=1, le=3660)
    deleted_account_days: int = Field(30, ge=1, le=3660)
    own_deletion_days: int = Field(14, ge=1, le=3660)
    audit_event_days: int = Field(0, ge=0, le=36600)
    sign_in_free_tries: int = Field(5, ge=1, le=100)
    sign_in_delay_max_minutes: int = Field(15, ge=1, le=24 * 60)
    finished_job_days: int = Field(30, ge=1, le=3660)
    sent_mail_days: int = Field(90, ge=1, le=3660)
    job_lease_seconds: int = Field(120, ge=1, le=24 * 3600)
    notify_again_seconds: int = Field(30, ge=1, le=24 * 3600)
