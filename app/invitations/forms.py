from app.web.forms import ChosenPassword, Form, Name


class InvitationForm(Form):
    name = Name()
    password = ChosenPassword()
