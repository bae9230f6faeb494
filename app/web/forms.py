"""The base of all forms, which check the format; services check everything else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from flask import g, request
from flask_wtf import FlaskForm
from markupsafe import Markup, escape
from wtforms import EmailField, HiddenField, PasswordField, SelectMultipleField, StringField
from wtforms.validators import InputRequired, Length, ValidationError

from app.core import errors
from app.core.addresses import canonical_address, clean_name
from app.core.lengths import MAX_ADDRESS_LENGTH, MAX_CODE_LENGTH, MAX_NAME_LENGTH, MAX_PASSWORD_LENGTH
from app.users.models import USER_FIELDS

# Control characters except tab and line breaks, lone surrogates, and replacements of undecodable bytes.
UNCLEAN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffd]")

PLAIN_INPUTS = {"text", "email", "password", "checkbox", "search", "tel", "url"}


class Form(FlaskForm):  # type: ignore[misc]  # Flask-WTF carries no types.
    """A form that can be shown again with its values, and shows a service's refusal beside its field.

    The CSRF token is checked for every request in one place (`app/web/csrf.py`), not in each form.
    """

    _unclean: dict[str, str]
    try_later: errors.TryLater | None = None

    class Meta(FlaskForm.Meta):  # type: ignore[misc]
        csrf = False

        def wrap_formdata(self, form: Form, formdata: Any) -> Any:
            return request.form if form.was_sent() else None

    def was_sent(self) -> bool:
        """Return whether the fields contain sent values, also when the form is shown again because its token had
        expired.
        """
        return self.is_submitted() or bool(g.get("shows_again"))

    def refusals(self, *expected: type[errors.AccountError]) -> _Refusals:
        """Return a context that shows an expected refusal, or one to try later, in the form; what follows it is then
        executed.
        """
        return _Refusals(self, (errors.TryLater, *expected))

    def refuse(self, refusal: errors.AccountError) -> None:
        """Show `refusal` beside its field, or above the form if it has none or the user has to wait."""
        g.refused_as = refusal.code
        if isinstance(refusal, errors.TryLater):
            self.try_later = refusal
        field = next((name for name in refusal.fields if name in self), None)
        if field is None:
            self.form_errors: list[str] = [*self.form_errors, str(refusal)]
        else:
            self[field].errors = [*self[field].errors, str(refusal)]

    def is_refused(self) -> bool:
        return bool(self.errors)

    def process(self, *args: Any, **kwargs: Any) -> None:
        """Read the sent values without control characters, which are refused and not shown again."""
        super().process(*args, **kwargs)
        self._unclean = {}
        for field in self if self.was_sent() else ():
            sent = request.form.getlist(field.name)
            if len(sent) > 1 and not isinstance(field, SelectMultipleField):
                self._unclean[field.name] = "Send this field only once."
            elif len(sent) == 1 and UNCLEAN.search(sent[0]):
                self._unclean[field.name] = "Remove line breaks and special characters."
                field.data = UNCLEAN.sub("", sent[0])

    def validate(self, extra_validators: Any = None) -> bool:
        """Run the fields' validators; control characters are refused in any case."""
        valid: bool = super().validate(extra_validators=extra_validators)
        for name, problem in self._unclean.items():
            self[name].errors = [problem]
        return valid and not self._unclean


@dataclass(frozen=True, slots=True)
class _Refusals:
    form: Form
    expected: tuple[type[errors.AccountError], ...]

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, problem: BaseException | None, _traceback: object) -> bool:
        if not isinstance(problem, self.expected):
            return False
        self.form.refuse(problem)
        return True


def draw_input(field: Any, hint: str | None, attributes: dict[str, Any]) -> Markup:
    """Render a field's element, described by its hint and error.

    Plain inputs are written here: through WTForms' widget one takes a tenth of a millisecond, most of a sign-in page.
    """
    described = " ".join([f"{field.id}-hint"] * bool(hint) + [f"{field.id}-error"] * bool(field.errors))
    kind = getattr(field.widget, "input_type", None)
    if kind not in PLAIN_INPUTS:
        own = {"aria_describedby": described} if described else {}
        invalid = {"aria_invalid": "true"} if field.errors else {}
        return Markup(field(**attributes, **own, **invalid))  # noqa: S704 - WTForms escapes.
    drawn: dict[str, Any] = {"type": kind, "id": field.id, "name": field.name}
    if kind == "checkbox":
        drawn |= {"value": "y", "checked": bool(field.data)}
    elif kind != "password":
        drawn["value"] = field._value()
    flags = field.flags
    drawn |= {"required": bool(flags.required), "minlength": flags.minlength, "maxlength": flags.maxlength}
    for name, value in ((field.render_kw or {}) | attributes).items():
        drawn[name.rstrip("_").replace("_", "-")] = value
    drawn |= {"aria-invalid": "true" if field.errors else None, "aria-describedby": described or None}
    return Markup(f"<input{''.join(map(_attribute, drawn.items()))}>")  # noqa: S704 - `_attribute` escapes.


def _attribute(named: tuple[str, Any]) -> str:
    name, value = named
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(value)}"'


class Address(EmailField):
    """An email address; `.canonical` is the form that is stored and compared."""

    canonical: str = ""

    def __init__(self, label: str = "Email", *, autocomplete: str = "email", **kwargs: Any) -> None:
        extra = {
            "autocomplete": autocomplete,
            "inputmode": "email",
            "maxlength": MAX_ADDRESS_LENGTH,
            "spellcheck": "false",
        }
        super().__init__(label, validators=[InputRequired("Enter your email address.")], render_kw=extra, **kwargs)

    def pre_validate(self, form: Any) -> None:
        try:
            self.canonical = canonical_address(self.data or "") if self.data else ""
        except errors.InvalidAddress as refusal:
            raise ValidationError(str(refusal)) from None


class Name(StringField):
    """A name of a person or thing, or another line of text; `.clean` is the form that is stored. `required` is the
    message if it is missing.
    """

    clean: str = ""

    def __init__(
        self,
        label: str = "Name",
        *,
        required: str = "",
        autocomplete: str = "name",
        longest: int = MAX_NAME_LENGTH,
        **kwargs: Any,
    ) -> None:
        self._required, self._longest = required, longest
        super().__init__(
            label,
            validators=[InputRequired(required)] if required else [],
            render_kw={"autocomplete": autocomplete, "maxlength": longest},
            **kwargs,
        )

    def pre_validate(self, form: Any) -> None:
        try:
            self.clean = clean_name(self.data or "", longest=self._longest)
        except errors.InvalidName as refusal:
            raise ValidationError(str(refusal)) from None
        if self._required and not self.clean:
            raise ValidationError(self._required)


class UserTextsForm(Form):
    """A form with the fields of USER_FIELDS."""

    def text_fields(self) -> list[Name]:
        return [self[name] for name in USER_FIELDS]

    def texts(self) -> dict[str, str]:
        return {field.name: field.clean for field in self.text_fields()}


for _name, _field in USER_FIELDS.items():
    setattr(UserTextsForm, _name, Name(_field.label, longest=_field.longest, autocomplete=_field.autocomplete))


class _Typed:
    """A field of one kind of text: its label, messages, length and HTML attributes."""

    text, required, too_long = "Password", "", ""
    longest = MAX_PASSWORD_LENGTH
    attributes: ClassVar[dict[str, str]] = {}

    def __init__(self, label: str = "", **kwargs: Any) -> None:
        validators: list[Any] = [InputRequired(self.required)]
        if self.too_long:
            validators.append(Length(max=self.longest, message=self.too_long))
        drawn = {"maxlength": self.longest, **self.attributes}
        super().__init__(label or self.text, validators=validators, render_kw=drawn, **kwargs)  # type: ignore[call-arg]


class CurrentPassword(_Typed, PasswordField):
    """A password to be checked; used exactly as it was sent."""

    required, too_long = "Enter your password.", "That's too long for a password."
    attributes: ClassVar = {"autocomplete": "current-password"}


class ChosenPassword(_Typed, PasswordField):
    """A new password; the policy checks it, the form only that it is not empty."""

    required = "Choose a password."
    attributes: ClassVar = {"autocomplete": "new-password"}


class Code(_Typed, StringField):
    """A code of an authenticator app, or a recovery code; spaces, dashes and capitals do not matter."""

    text, required, too_long = "Code", "Enter the code.", "That's too long for a code."
    longest = MAX_CODE_LENGTH
    attributes: ClassVar = {"autocomplete": "one-time-code", "inputmode": "numeric", "spellcheck": "false"}

    def takes_recovery_only(self) -> None:
        """Accept only recovery codes, because no app is set up."""
        self.label.text = "Recovery code"
        self.render_kw |= {"inputmode": "text", "autocomplete": "off"}


class NextPage(HiddenField):
    """Where to go next; checked when it is used."""
