"""Scheduled resets."""

from collections.abc import Iterator

from flask import url_for

from app.admin.notices import Notice
from app.factor_resets.service import FactorResets
from app.unit_of_work import Work

RESETS_SHOWN = 5


def find_reset_notices(services: Work) -> Iterator[Notice]:
    for reset, user in services[FactorResets].list_open(limit=RESETS_SHOWN):
        text = f"The second factors of {user.name or user.email} will be reset soon."
        yield Notice("info", text, url_for("users.show", user_id=reset.user_id))
