"""The page to create users, and the form of new users."""

from collections.abc import Callable, Sequence

from flask.typing import ResponseReturnValue

from app.core import errors
from app.unit_of_work import Work, unit_of_work
from app.users import bp
from app.users.edit_views import grantable, role_fields
from app.users.forms import NewUserForm
from app.users.permissions import USERS_CREATE
from app.web import current_user
from app.web.access import by_oneself, requires
from app.web.limits import limited
from app.web.pages import page
from app.web.redirects import done


@bp.route("/create", methods=["GET", "POST"])
@requires(USERS_CREATE)
@by_oneself
@limited("mail")
def create() -> ResponseReturnValue:
    def create_user(work: Work, email: str, name: str, roles: Sequence[str]) -> None:
        who = current_user.signed_in()
        user = work.users.create(email=email, name=name, roles=roles, by=who)
        work.users.send_first_link(user, by=who)

    message = "User created. We've emailed {email} a link to choose a password."
    return add_user("users/create.html", create_user, message=message, to="users.index")


def add_user(
    template: str, add: Callable[[Work, str, str, Sequence[str]], None], *, message: str, to: str
) -> ResponseReturnValue:
    """Show the form for a new user, and `add` what was entered: address, name and roles."""
    form, roles = NewUserForm(), grantable(current_user.signed_in())
    form.roles.choices = list(roles.items())
    if form.validate_on_submit():
        with form.refusals(errors.EmailTaken, errors.RegistrationClosed):
            with unit_of_work() as work:
                add(work, form.email.canonical, form.name.clean, form.roles.data or [])
            return done(message.format(email=form.email.canonical), to=to)
    return page(template, form, **role_fields(roles, shown_before=bool(form.roles.data)))
