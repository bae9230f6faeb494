from dataclasses import replace
from typing import Any, Self

from wtforms import BooleanField, HiddenField, SelectMultipleField, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # its stubs are older
from wtforms.validators import InputRequired

from app.core.lengths import (
    MAX_DESCRIPTION_LENGTH,
    MAX_ROLE_NAME_LENGTH,
)
from app.core.principal import Principal
from app.users.models import ADMINISTRATOR, Role
from app.users.permissions import PERMISSIONS
from app.users.services.roles import RoleSpec
from app.web.forms import Form


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
    def for_role(cls, role: Role | None, *, by: Principal) -> Self:
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
        sent = {field.name: field.data for field in self if field.name != "version"}
        values: dict[str, Any] = {name: "" if value is None else value for name, value in sent.items()}
        if "permissions" in values:
            values["permissions"] = frozenset(values["permissions"] or ())
        return replace(before, **values)
