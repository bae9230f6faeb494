from collections.abc import Callable, Collection
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any, Self

from wtforms import BooleanField, SelectField, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # its stubs are older
from wtforms.validators import Length, ValidationError

from app.core import errors
from app.core.addresses import canonical_address, clean_name
from app.core.lengths import (
    MAX_ADDRESS_LENGTH,
    MAX_ANNOUNCEMENT_LENGTH,
    MAX_SITE_NAME_LENGTH,
)
from app.core.settings import CoreSettings
from app.site.current import SETTINGS
from app.site.service import Brand, Site
from app.web.forms import Form
from app.web.theme import theme_css


class SiteForm(Form):
    """The site's settings, without those that the environment sets. The logo's file is not a field."""

    name = StringField("Name", render_kw={"autocomplete": "off", "maxlength": MAX_SITE_NAME_LENGTH})
    accent_color = StringField("Accent color", render_kw={"autocomplete": "off", "maxlength": 7, "spellcheck": "false"})
    support_email = StringField("Support address", render_kw={"autocomplete": "off", "maxlength": MAX_ADDRESS_LENGTH})
    removes_logo = BooleanField("Remove the logo")
    registration = SelectField("Who can sign up")
    announcement = StringField(
        "Announcement",
        validators=[Length(max=MAX_ANNOUNCEMENT_LENGTH, message=f"Use at most {MAX_ANNOUNCEMENT_LENGTH} characters.")],
        render_kw={"autocomplete": "off"},
    )
    maintenance = BooleanField("Maintenance mode")

    @classmethod
    def of(cls, site: Site, brand: Brand, *, config: CoreSettings, fixed: Collection[str]) -> Self:
        """Return the form for what is stored, without the fields of Brand in `fixed`; `config` has the defaults."""
        form = cls(obj=SimpleNamespace(**asdict(site), **asdict(brand)))
        texts = {"open": "Everyone", "invite": "Invited people", "closed": "No one"}
        form.registration.choices = [
            SelectChoice("", f"Default: {texts[config.registration].lower()}"),
            *(SelectChoice(name, text) for name, text in texts.items()),
        ]
        for name, setting in SETTINGS.items():
            form[name].render_kw |= {"placeholder": getattr(config, setting)}
            if name in fixed:
                del form[name]
        return form

    def validate_name(self, field: StringField) -> None:
        field.data = _checked(lambda typed: clean_name(typed, longest=MAX_SITE_NAME_LENGTH), field.data)

    def validate_accent_color(self, field: StringField) -> None:
        try:
            if field.data:
                theme_css(field.data)
        except ValueError:
            raise ValidationError("Use a color like #1f5f8b.") from None

    def validate_support_email(self, field: StringField) -> None:
        field.data = _checked(canonical_address, field.data)

    def values(self) -> dict[str, Any]:
        """Return the fields of Site and Brand."""
        fields = {field.name: field.data for field in self if field.name != "removes_logo"}
        announcement = " ".join((self.announcement.data or "").split())
        return fields | {"registration": self.registration.data or None, "announcement": announcement}


def _checked(check: Callable[[str], str], typed: str | None) -> str:
    try:
        return check(typed) if typed else ""
    except errors.AccountError as refusal:
        raise ValidationError(str(refusal)) from None
