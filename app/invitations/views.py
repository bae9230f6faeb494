"""Pages to send, list, resend and revoke invitations."""

from collections.abc import Sequence

from flask import url_for
from flask.typing import ResponseReturnValue

from app.core.extensions import now
from app.invitations.service import Invitations
from app.unit_of_work import Work, reading, unit_of_work
from app.users import bp
from app.users.create_views import add_user
from app.users.permissions import USERS_INVITE
from app.web import current_user
from app.web.access import requires
from app.web.actions import ask
from app.web.forms import Form
from app.web.limits import limited
from app.web.pages import page
from app.web.query_params import before, paginate
from app.web.redirects import done

ON_A_PAGE = 50


@bp.route("/new", methods=["GET", "POST"])
@requires(USERS_INVITE)
@limited("mail")
def new() -> ResponseReturnValue:
    def invite(work: Work, email: str, name: str, roles: Sequence[str]) -> None:
        work[Invitations].invite(email=email, name=name, roles=roles, by=current_user.signed_in())

    return add_user("users/new.html", invite, message="Invitation sent to {email}.", to="users.invitations")


@bp.get("/invitations")
@requires(USERS_INVITE)
def invitations() -> ResponseReturnValue:
    pending = reading()[Invitations].list_pending(before=before(), limit=ON_A_PAGE + 1)
    paged = paginate(pending, size=ON_A_PAGE)
    return page("users/invitations.html", paged=paged, now=now())


@bp.post("/invitations/<id:invitation_id>/resend")
@requires(USERS_INVITE)
@limited("mail")
def resend_invitation(invitation_id: int) -> ResponseReturnValue:
    with unit_of_work() as work:
        invitation = work[Invitations].get(invitation_id, lock=True)
        work[Invitations].resend(invitation, by=current_user.signed_in())
    return done("Invitation sent again.", to="users.invitations")


@bp.route("/invitations/<id:invitation_id>/revoke", methods=["GET", "POST"])
@requires(USERS_INVITE)
def revoke_invitation(invitation_id: int) -> ResponseReturnValue:
    form = Form()
    if not form.validate_on_submit():
        invited = reading()[Invitations].get(invitation_id).user.email
        title, text = f"Revoke the invitation of {invited}?", "The link in the email stops working."
        above = [("Users", url_for("users.index")), ("Invitations", url_for("users.invitations"))]
        return ask(title, text, button="Revoke", above=above, form=form)
    with unit_of_work() as work:
        invitation = work[Invitations].get(invitation_id, lock=True)
        work[Invitations].revoke(invitation, by=current_user.signed_in())
    return done("Invitation revoked.", to="users.invitations")
