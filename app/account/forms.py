from __future__ import annotations

from wtforms import BooleanField, HiddenField, SelectField, SelectMultipleField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # its stubs are older
from wtforms.validators import InputRequired, Length

from app.services.api_keys import DEFAULT_DAYS
from app.web.forms import Address, ChosenPassword, Code, CurrentPassword, Form, Name


class ProfileForm(Form):
    name = Name()


class EmailForm(Form):
    email = Address("New email address")


class PasswordForm(Form):
    current_password = CurrentPassword("Current password")
    password = ChosenPassword("New password")


class CodeForm(Form):
    code = Code()


class PasskeyForm(Form):
    name = Name(required="Give the passkey a name, so that you know it again.", autocomplete="off")
    credential = HiddenField(validators=[InputRequired("Use the button once more."), Length(max=64 * 1024)])


class RemoveForm(Form):
    """`sure` is asked for the last one only."""

    sure = BooleanField("I know that my password alone will let me in")


class ApiKeyForm(Form):
    """`scopes` are the permissions that the user holds."""

    name = Name(required="Give the key a name, so that you know it again.", autocomplete="off")
    scopes = SelectMultipleField("What it may do", choices=[])
    days = SelectField(
        "Works for",
        choices=[
            SelectChoice("30", "30 days"),
            SelectChoice("90", "90 days"),
            SelectChoice("365", "a year"),
            SelectChoice("", "ever, until you end it"),
        ],
        default=str(DEFAULT_DAYS),
    )


class ApiKeyNameForm(Form):
    name = Name(required="Give the key a name.", autocomplete="off")
