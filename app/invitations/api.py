"""Endpoints for pending invitations; `POST /users` creates one."""

from typing import Any

from flask import request

from app.api import bp
from app.api.endpoint import endpoint
from app.api.listing import list_page
from app.api.responses import Answer
from app.api.schemas import PageQuery
from app.core import errors
from app.core.resources import plain
from app.invitations.errors import InvitationNotFound
from app.invitations.models import Invitation
from app.invitations.schemas import InvitationOut, InvitationsOut, InviteIn
from app.invitations.service import Invitations
from app.unit_of_work import reading, unit_of_work
from app.users.permissions import USERS_INVITE
from app.users.schemas import UserOut, plain_user
from app.web import current_user
from app.web.access import requires
from app.web.limits import limited


@bp.get("/v1/invitations")
@endpoint(InvitationsOut, query=PageQuery, tag="invitations", lists=True)
@requires(USERS_INVITE)
def list_invitations(query: PageQuery) -> dict[str, Any]:
    """List pending invitations, newest first."""
    pending = reading()[Invitations].list_pending
    return list_page(
        query, lambda before, limit: pending(before=before, limit=limit), _shown, of={"list": "invitations"}
    )


@bp.get("/v1/invitations/<id:invitation_id>")
@endpoint(InvitationOut, refuses=(InvitationNotFound,), tag="invitations")
@requires(USERS_INVITE)
def show_invitation(invitation_id: int) -> dict[str, Any]:
    """Get a pending invitation."""
    return _shown(reading()[Invitations].get(invitation_id))


@bp.post("/v1/invitations/<id:invitation_id>/resend")
@limited("mail")
@endpoint(None, status=202, refuses=(errors.NotAllowed, InvitationNotFound), tag="invitations")
@requires(USERS_INVITE)
def resend_invitation(invitation_id: int) -> Answer:
    """Email an invitation again, with a new link."""
    with unit_of_work() as work:
        work[Invitations].resend(work[Invitations].get(invitation_id, lock=True), by=current_user.signed_in())
    return Answer(status=202, message="Invitation sent again.")


@bp.delete("/v1/invitations/<id:invitation_id>")
@endpoint(None, refuses=(errors.NotAllowed, InvitationNotFound), tag="invitations")
@requires(USERS_INVITE)
def revoke_invitation(invitation_id: int) -> Answer:
    """Revoke an invitation."""
    with unit_of_work() as work:
        work[Invitations].revoke(work[Invitations].get(invitation_id, lock=True), by=current_user.signed_in())
    return Answer(message="Invitation revoked.")


def _shown(invitation: Invitation) -> dict[str, Any]:
    return plain(InvitationOut, invitation, email=invitation.user.email, name=invitation.user.name)


_CANNOT_INVITE = (
    errors.NotAllowed,
    errors.ConfirmationRequired,
    errors.RegistrationClosed,
    errors.EmailTaken,
    "unknown_role",
)


@bp.post("/v1/users")
@limited("mail")
@endpoint(UserOut, status=201, body=InviteIn, refuses=_CANNOT_INVITE, tag="users", replays=True)
@requires(USERS_INVITE)
def invite_user(body: InviteIn) -> Answer:
    """Invite a user by email.

    `roles` in the response are assigned on acceptance.
    """
    who = current_user.signed_in()
    with unit_of_work() as work:
        with errors.at_field("roles", errors.RoleNotFound, code="unknown_role"):
            invitation = work[Invitations].invite(email=body.email, name=body.name, roles=body.roles, by=who)
        user = work.user_search.find(invitation.user_id)
    if user is None:
        raise errors.UserNotFound
    return Answer(
        plain_user(user) | {"roles": invitation.roles},
        status=201,
        message="Invitation sent.",
        headers={"Location": f"{request.script_root}/api/v1/users/{user.id}"},
    )
