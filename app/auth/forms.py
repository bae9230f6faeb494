from wtforms import BooleanField, HiddenField

from app.web.forms import Address, ChosenPassword, Code, CurrentPassword, Form, Name, NextPage


class RegisterForm(Form):
    name = Name()
    email = Address()
    password = ChosenPassword()


class LoginForm(Form):
    email = Address(autocomplete="username")
    password = CurrentPassword()
    remember = BooleanField("Stay signed in on this device")
    next = NextPage()


class AddressForm(Form):
    email = Address()


class ButtonForm(Form):
    """A form with nothing but a button."""


class AccountPasswordForm(Form):
    password = CurrentPassword("Password")


class ResetPasswordForm(Form):
    password = ChosenPassword("New password")


class ConfirmForm(Form):
    password = CurrentPassword()
    next = NextPage()


class ConfirmByCodeForm(Form):
    code = Code()
    next = NextPage()


class TwoFactorForm(Form):
    code = Code()
    pending = HiddenField(name="half")  # Forms of earlier releases send this name.
    trust = BooleanField("Trust this browser for 30 days")
