from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, create_model

from app.api.schemas import Cursor, Email, In, Limit, Name, Permission, Query, RoleNames, TimeIn, one_line
from app.core.lengths import (
    MAX_DESCRIPTION_LENGTH,
    MAX_REASON_LENGTH,
    MAX_RESOURCE_LENGTH,
    MAX_ROLE_NAME_LENGTH,
    MAX_SEARCH_LENGTH,
)
from app.core.resources import CLEAN, Flag, Id, Listing, Out, RoleName, Time, plain
from app.users.models import MORE_USER_FIELDS, Status
from app.users.services.roles import ROLE_NAME
from app.users.services.search import ListedUser

_MORE: dict[str, Any] = {
    name: (Annotated[str | None, Field(examples=[field.example])], ...) for name, field in MORE_USER_FIELDS.items()
}

_UserTexts: Any = create_model("_UserTexts", __base__=Out, **_MORE)


class UserOut(_UserTexts):
    id: Id
    email: Annotated[str, Field(examples=["ada@example.com"])]
    name: Annotated[str, Field(examples=["Ada Lovelace"])]
    is_active: Flag
    email_verified_at: Time | None
    roles: Annotated[list[str], Field(examples=[["member"]])]
    created_at: Time
    updated_at: Time
    last_seen_at: Time | None


def plain_user(user: ListedUser) -> dict[str, Any]:
    return plain(UserOut, user, **user.more)


class SomeOfUser(UserOut):
    """A user, or the requested fields of one."""

    model_config = ConfigDict(json_schema_extra=lambda schema: schema.pop("required"))


class UserDetails(UserOut):
    """A user for operators."""

    deactivation_reason: str | None
    deactivated_at: Time | None
    deactivated_until: Time | None
    deleted_at: Time | None


class RoleOut(Out):
    id: Id
    name: RoleName
    description: Annotated[str, Field(examples=["Manages users."])]
    permissions: Annotated[list[str], Field(examples=[["users:read"]])]
    requires_second_factor: Annotated[
        bool, Field(description="Users with the role must set up a second factor.", examples=[False])
    ]
    administrators_only: Annotated[
        bool, Field(description="Only administrators can assign the role.", examples=[False])
    ]
    created_at: Time


class UsersOut(Listing[SomeOfUser]): ...


class RolesOut(Listing[RoleOut]): ...


FIELDS = tuple(UserOut.model_fields)


def _fields(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    names = value.split(",")
    unknown = [name for name in names if name not in FIELDS]
    if unknown:
        raise ValueError(f"Choose from {', '.join(FIELDS)}, separated by commas.")
    return value


Fields = Annotated[
    str,
    Field(
        max_length=200,
        pattern=rf"^({'|'.join(FIELDS)})(,({'|'.join(FIELDS)}))*$",
        description="The fields to return, separated by commas. Default: all.",
        examples=["id,email"],
    ),
    BeforeValidator(_fields),
]


class UserQuery(Query):
    fields: Fields | None = None


Sort = Literal["created_at", "-created_at", "email", "-email", "name", "-name", "last_seen_at", "-last_seen_at"]


class UsersQuery(UserQuery):
    limit: Limit = 50
    cursor: Cursor | None = None
    q: Annotated[
        str,
        Field(
            max_length=MAX_SEARCH_LENGTH,
            pattern=CLEAN,
            description="The start of an email address, of `@` and its domain, or of words of a name, or an ID.",
            examples=["ada"],
        ),
    ] = ""
    role: RoleName | None = None
    status: Annotated[Status, Field(examples=["active"])] | None = None
    seen_before: TimeIn | None = None
    sort: Annotated[Sort, Field(description="`-` means descending.", examples=["-created_at"])] = "-created_at"


Reason: Any = one_line(MAX_REASON_LENGTH, "Requested by letter.", can_be_empty=False)

_more: dict[str, Any] = {
    name: (one_line(field.longest, field.example) | None, None) for name, field in MORE_USER_FIELDS.items()
}

_UserTextsIn: Any = create_model("_UserTextsIn", __base__=In, **_more)


class UserFieldsIn(_UserTextsIn):
    """Fields of a user that a request can change; omitted fields stay unchanged.

    Users can change their own `name`. `email` proposes a new address, which the user confirms. The reason, which the
    user sees, and the end of a deactivation are set together with `is_active: false`.
    """

    name: Name | None
    email: Email | None = None
    is_active: Flag | None = None
    deactivation_reason: Reason | None = None
    deactivated_until: TimeIn | None = None
    roles: RoleNames | None = None


class UserDeletionIn(In):
    """The user gets the reason by email."""

    reason: Reason | None = None


class UserIn(UserFieldsIn):
    name: Name


class UserPatchIn(UserFieldsIn):
    name: Name | None = None


NewRoleName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_ROLE_NAME_LENGTH,
        pattern=f"^{ROLE_NAME}$",
        description="Lowercase letters, digits, hyphens and underscores, starting with a letter.",
        examples=["editor"],
    ),
]

Permissions = Annotated[list[Permission], Field(max_length=200, examples=[["users:read"]])]

Description: Any = one_line(MAX_DESCRIPTION_LENGTH, "Manages users.")


class NewRoleIn(In):
    name: NewRoleName
    description: Description = ""
    permissions: Permissions = []
    requires_second_factor: Flag = False
    administrators_only: Flag = False


class RoleIn(In):
    """Fields of a role; omitted fields stay unchanged. The administrator's name and permissions can't change."""

    name: NewRoleName | None = None
    description: Description | None = None
    permissions: Permissions | None = None
    requires_second_factor: Flag | None = None
    administrators_only: Flag | None = None


class AccessQuery(Query):
    action: Permission
    resource: (
        Annotated[
            str,
            Field(
                max_length=MAX_RESOURCE_LENGTH,
                pattern="^[a-z_]+:[1-9][0-9]{0,17}$",
                description="A type and an ID. Default: all resources.",
                examples=["users:1"],
            ),
        ]
        | None
    ) = None


class AccessOut(Out):
    allowed: Flag
    rule: Annotated[Literal["account", "permission", "ownership", "rank", "grant"], Field(examples=["permission"])]
    reason: Annotated[str, Field(examples=["Held through: administrator."])]
