from wtforms import BooleanField, HiddenField
from wtforms.validators import InputRequired, Length

from app.web.forms import Form, Name, NextPage


class PasskeyNameForm(Form):
    name = Name(required="Enter a name for the passkey.", autocomplete="off")


class NewPasskeyForm(PasskeyNameForm):
    credential = HiddenField(validators=[InputRequired("Select the button again."), Length(max=64 * 1024)])


class PasskeyForm(Form):
    credential = HiddenField(validators=[InputRequired(), Length(max=16 * 1024)])
    purpose = HiddenField()
    trust = BooleanField("Trust this browser for 30 days")
    next = NextPage()
