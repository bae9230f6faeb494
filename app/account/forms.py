from wtforms import BooleanField, SelectField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # its stubs are older

from app.core.extensions import settings
from app.users.time_zones import zone_names
from app.web.forms import Address, ChosenPassword, CurrentPassword, Form


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


class RemoveForm(Form):
    """Removal of a second factor; `sure` is only for the last one."""

    sure = BooleanField("I understand that only my password will protect my account")
