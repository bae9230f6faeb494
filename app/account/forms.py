from __future__ import annotations

from app.web.forms import Address, ChosenPassword, Form, Name, PresentPassword


class ProfileForm(Form):
    name = Name()


class EmailForm(Form):
    email = Address("New email address")


class PasswordForm(Form):
    current_password = PresentPassword("Present password")
    password = ChosenPassword("New password")
