from __future__ import annotations

from wtforms import BooleanField, HiddenField, SelectField, SelectMultipleField, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # its stubs are older
from wtforms.validators import InputRequired, Length

from app.models import ADMINISTRATOR, MAX_ANNOUNCEMENT_LENGTH, MAX_DESCRIPTION_LENGTH, MAX_ROLE_NAME_LENGTH, Role
from app.principal import Principal
from app.services.permissions import PERMISSIONS
from app.services.roles import RoleSpec
from app.services.site_settings import Site
from app.web.forms import Form


class SiteForm(Form):
    registration = SelectField("Who can sign up")
    announcement = StringField(
        "Announcement",
        validators=[Length(max=MAX_ANNOUNCEMENT_LENGTH, message=f"Use at most {MAX_ANNOUNCEMENT_LENGTH} characters.")],
        render_kw={"autocomplete": "off"},
    )
    maintenance = BooleanField("Maintenance mode")

    @classmethod
    def of(cls, site: Site, *, otherwise: str) -> SiteForm:
        """Return the form for `site`; `otherwise` is the value of the setting REGISTRATION."""
        form = cls(obj=site)
        texts = {"open": "Everyone", "invite": "Invited people", "closed": "No one"}
        form.registration.choices = [
            SelectChoice("", f"Default: {texts[otherwise].lower()}"),
            *(SelectChoice(name, text) for name, text in texts.items()),
        ]
        return form


class RoleForm(Form):
    """A role's fields. `version` is the version that was shown. Fixed properties have no field (see `for_role`)."""

    name = StringField(
        "Name",
        validators=[InputRequired("Enter a name for the role.")],
        render_kw={
            "autocomplete": "off",
            "autocapitalize": "none",
            "maxlength": MAX_ROLE_NAME_LENGTH,
            "spellcheck": "false",
        },
    )
    description = StringField("Description", render_kw={"autocomplete": "off", "maxlength": MAX_DESCRIPTION_LENGTH})
    permissions = SelectMultipleField("Permissions", choices=[])
    requires_second_factor = BooleanField("Requires a second factor")
    administrators_only = BooleanField("Only administrators can assign it")
    version = HiddenField()

    @classmethod
    def for_role(cls, role: Role | None, *, by: Principal) -> RoleForm:
        """Return the form for `role`, or for a new role; `by` can grant their own permissions."""
        form = cls(obj=role)
        form.permissions.choices = [SelectChoice(name, PERMISSIONS[name]) for name in sorted(by.permissions)]
        if not by.permissions >= PERMISSIONS.keys():
            del form.administrators_only
        if role is not None and role.keeps_its_name():
            del form.name
        if role is not None and role.name == ADMINISTRATOR:
            del form.permissions
        return form

    def spec(self, before: RoleSpec) -> RoleSpec:
        """Return the sent values; `before` provides the properties without a field."""
        return RoleSpec(
            name=self.name.data or "" if "name" in self else before.name,
            description=self.description.data or "",
            permissions=frozenset(self.permissions.data or ()) if "permissions" in self else before.permissions,
            requires_second_factor=self.requires_second_factor.data,
            administrators_only=(
                self.administrators_only.data if "administrators_only" in self else before.administrators_only
            ),
        )
