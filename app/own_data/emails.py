"""The email about a copy of the user's data."""

from typing import ClassVar

from app.mail.kinds import SAMPLE_TIME, EmailKind


class OwnDataReady(EmailKind):
    template, subject = "own_data_ready", "Your {site} data is ready"
    sample: ClassVar = {"until": SAMPLE_TIME, "link": "/account/data"}
