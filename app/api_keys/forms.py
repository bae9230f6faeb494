from wtforms import SelectField, SelectMultipleField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # its stubs are older

from app.api_keys.service import DEFAULT_DAYS
from app.web.forms import Form, Name


class ApiKeyForm(Form):
    """`scopes` are the permissions that the user holds."""

    name = Name(required="Enter a name for the API key.", autocomplete="off")
    scopes = SelectMultipleField("Scopes", choices=[])
    days = SelectField(
        "Expires in",
        choices=[
            SelectChoice("30", "30 days"),
            SelectChoice("90", "90 days"),
            SelectChoice("365", "1 year"),
            SelectChoice("", "Never"),
        ],
        default=str(DEFAULT_DAYS),
    )


class ApiKeyNameForm(Form):
    name = Name(required="Enter a name for the API key.", autocomplete="off")
