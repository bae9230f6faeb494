from datetime import datetime

from wtforms import DateField, HiddenField, SelectField, SelectMultipleField, StringField, TextAreaField
from wtforms.validators import DataRequired, Length, Optional

from app.core.lengths import MAX_REASON_LENGTH
from app.web.forms import Address, Form, Name, UserTextsForm
from app.web.query_params import day

STATES = {"active": "Active", "unconfirmed": "Not confirmed", "deactivated": "Deactivated", "deleted": "Deleted"}
ORDERS = {
    "-created_at": "Newest first",
    "created_at": "Oldest first",
    "name": "Name",
    "email": "Email",
    "-last_seen_at": "Recently active",
    "last_seen_at": "Longest inactive",
}


class UserForm(UserTextsForm):
    """A user's fields. `roles` are those the principal can assign, sent as a whole if the page `shows_roles`.

    `version` is the version that was shown.
    """

    email = Address(autocomplete="off")
    roles = SelectMultipleField("Roles", choices=[])
    shows_roles = HiddenField()
    version = HiddenField()

    def changes_roles(self) -> bool:
        return bool(self.shows_roles.data or self.roles.raw_data)


class NewUserForm(Form):
    email = Address(autocomplete="off")
    name = Name(autocomplete="off")
    roles = SelectMultipleField("Roles", choices=[])


class ReasonForm(Form):
    reason = TextAreaField(
        "Reason",
        validators=[
            DataRequired("Enter a reason. The user will see it."),  # Blanks are no reason.
            Length(max=MAX_REASON_LENGTH, message=f"Use at most {MAX_REASON_LENGTH} characters."),
        ],
        render_kw={"maxlength": MAX_REASON_LENGTH, "rows": 3},
    )


class DeactivationForm(ReasonForm):
    until = DateField("Until", validators=[Optional()])

    def ends_at(self) -> datetime | None:
        """Return the start of the chosen day in the viewer's time zone."""
        return day(self.until.data.isoformat()) if self.until.data else None


class ImportForm(Form):
    """The file is not a field: it is stored as it is read."""


class BulkForm(Form):
    """Selected users and an action; `act` is a kind, or `assign:` and a role."""

    offered: dict[str, str]
    users = SelectMultipleField("Users", coerce=int, validate_choice=False)
    act = SelectField("Action", choices=[])
    reason = StringField(
        "Reason",
        validators=[Length(max=MAX_REASON_LENGTH, message=f"Use at most {MAX_REASON_LENGTH} characters.")],
        render_kw={"maxlength": MAX_REASON_LENGTH, "autocomplete": "off"},
    )

    def offer(self, roles: list[str], *, may_deactivate: bool, may_support: bool) -> None:
        choices = [("deactivate", "Deactivate")] if may_deactivate else []
        choices += [("end_sessions", "Sign out everywhere")] if may_support else []
        choices += [(f"assign:{role}", f"Assign role {role}") for role in roles]
        self.act.choices, self.offered = choices, dict(choices)
