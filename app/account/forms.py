from wtforms import BooleanField, HiddenField, SelectField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # its stubs are older
from wtforms.validators import InputRequired, Length

from app.core.extensions import settings
from app.users.time_zones import zone_names
from app.web.forms import Address, ChosenPassword, Code, CurrentPassword, Form, Name


def _zones() -> list[SelectChoice]:
    """Return the time zones to choose from; the empty value stands for that of the site."""
    return [
        SelectChoice("", f"Default ({settings().time_zone})"),
        *(SelectChoice(name) for name in sorted(zone_names())),
    ]


class TimeZoneForm(Form):
    time_zone = SelectField("Time zone", choices=_zones)


class EmailForm(Form):
    email = Address("New email address")


class PasswordForm(Form):
    current_password = CurrentPassword("Current password")
    password = ChosenPassword("New password")


class CodeForm(Form):
    code = Code()


class PasskeyNameForm(Form):
    name = Name(required="Enter a name for the passkey.", autocomplete="off")


class PasskeyForm(PasskeyNameForm):
    credential = HiddenField(validators=[InputRequired("Select the button again."), Length(max=64 * 1024)])


class RemoveForm(Form):
    """Removal of a second factor; `sure` is only for the last one."""

    sure = BooleanField("I understand that only my password will protect my account")
