"""Endpoints for pending invitations; `POST /users` creates one."""

from typing import Any

from app import errors
from app.api import bp
from app.api.endpoint import endpoint
from app.api.responses import Answer
from app.api.schemas import InvitationOut, InvitationsOut, PageQuery
from app.models import Invitation
from app.services.permissions import USERS_INVITE
from app.services.user_search import Position
from app.unit_of_work import reading, unit_of_work
from app.web import current_user
from app.web.access import requires
from app.web.cursors import read_cursor, write_cursor
from app.web.limits import limited

INVITATIONS = {"list": "invitations"}


@bp.get("/v1/invitations")
@endpoint(InvitationsOut, query=PageQuery, tag="invitations", lists=True)
@requires(USERS_INVITE)
def list_invitations(query: PageQuery) -> dict[str, Any]:
    """List pending invitations, newest first."""
    after = read_cursor(query.cursor, of=INVITATIONS)
    invitations = reading().invitations.list_pending(before=after.id if after else None, limit=query.limit + 1)
    page = invitations[: query.limit]
    following = Position(None, page[-1].id) if len(invitations) > query.limit else None
    return {"items": [_shown(invitation) for invitation in page], "next": write_cursor(following, of=INVITATIONS)}


@bp.get("/v1/invitations/<id:invitation_id>")
@endpoint(InvitationOut, refuses=(errors.InvitationNotFound,), tag="invitations")
@requires(USERS_INVITE)
def show_invitation(invitation_id: int) -> dict[str, Any]:
    """Get a pending invitation."""
    return _shown(reading().invitations.get(invitation_id))


@bp.post("/v1/invitations/<id:invitation_id>/resend")
@limited("mail")
@endpoint(None, status=202, refuses=(errors.NotAllowed, errors.InvitationNotFound), tag="invitations")
@requires(USERS_INVITE)
def resend_invitation(invitation_id: int) -> Answer:
    """Email an invitation again, with a new link."""
    with unit_of_work() as work:
        work.invitations.resend(work.invitations.get(invitation_id, lock=True), by=current_user.signed_in())
    return Answer(status=202, message="Invitation sent again.")


@bp.delete("/v1/invitations/<id:invitation_id>")
@endpoint(None, refuses=(errors.NotAllowed, errors.InvitationNotFound), tag="invitations")
@requires(USERS_INVITE)
def revoke_invitation(invitation_id: int) -> Answer:
    """Revoke an invitation."""
    with unit_of_work() as work:
        work.invitations.revoke(work.invitations.get(invitation_id, lock=True), by=current_user.signed_in())
    return Answer(message="Invitation revoked.")


def _shown(invitation: Invitation) -> dict[str, Any]:
    return {
        "id": invitation.id,
        "user_id": invitation.user_id,
        "email": invitation.user.email,
        "name": invitation.user.name,
        "roles": invitation.roles,
        "inviter_id": invitation.inviter_id,
        "created_at": invitation.created_at,
        "expires_at": invitation.expires_at,
    }
