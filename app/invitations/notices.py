"""Pending invitations."""

from collections.abc import Iterator

from flask import url_for

from app.admin.notices import Notice, counted
from app.invitations.service import Invitations
from app.unit_of_work import Work


def find_invitation_notices(services: Work) -> Iterator[Notice]:
    if pending := services[Invitations].count_pending():
        yield Notice("info", f"{counted(pending, 'invitation')} pending.", url_for("users.invitations"))
