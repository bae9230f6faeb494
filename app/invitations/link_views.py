"""The page behind the link of an invitation."""

from flask.typing import ResponseReturnValue

from app.auth.link_pages import link_form, link_page
from app.auth.models import Purpose
from app.auth.sign_in_steps import new_password
from app.core import errors
from app.core.tokens import new_token
from app.invitations.forms import InvitationForm
from app.invitations.service import Invitations
from app.unit_of_work import reading, unit_of_work
from app.web import session_cookie
from app.web.redirects import done, drop_link


@link_page(Purpose.INVITATION, opener="open_invitation", again="auth.login", text="Sign in")
def invitation(token: str) -> ResponseReturnValue:
    invited = reading()[Invitations].get_invited(token)
    form = InvitationForm(name=invited.name)
    if form.validate_on_submit():
        with form.refusals(errors.WeakPassword):
            _accept(token, form, email=invited.email)
            return done("Account created. You can now sign in.", to="auth.login")
    return link_form("auth/invitation.html", form, token, address=invited.email)


def _accept(token: str, form: InvitationForm, *, email: str) -> None:
    new = new_password(form.password.data or "", words=(email, form.name.clean))
    device = new_token()
    with unit_of_work() as work:
        user = work[Invitations].accept(token, name=form.name.clean, password=new)
        work.sessions.remember_device(user.id, device)
    session_cookie.keep_device(device)
    drop_link(token, Purpose.INVITATION)
