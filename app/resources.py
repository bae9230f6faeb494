"""The resources of API and commands: which fields they show, in this order, with types for the OpenAPI document."""

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, create_model

from app.core.lengths import MAX_ROLE_NAME_LENGTH
from app.core.models import MAX_ID
from app.users.models import MORE_USER_FIELDS
from app.users.services.search import ListedUser

CLEAN = r"^[^\x00-\x1f\x7f-\x9f]*$"
Id = Annotated[int, Field(ge=1, le=MAX_ID, examples=[1])]
Time = Annotated[datetime, Field(examples=["2026-11-12T14:05:00Z"])]
Flag = Annotated[bool, Field(examples=[True])]
RoleName = Annotated[str, Field(min_length=1, max_length=MAX_ROLE_NAME_LENGTH, pattern=CLEAN, examples=["member"])]
Kind = Annotated[str, Field(max_length=64, pattern="^[a-z][a-z0-9_]*$", examples=["send_invitation"])]
Count = Annotated[int, Field(ge=0, examples=[40000])]
OUTCOMES = Literal["new", "changed", "unchanged", "refused", "added", "updated"]
Counts = Annotated[dict[str, int], Field(description="Rows by outcome.", examples=[{"new": 3, "refused": 1}])]
Next = Annotated[
    str | None,
    Field(
        description="The cursor of the next page, or null on the last.",
        examples=["WyJhZGFAZXhhbXBsZS5jb20iLGZhbHNlLDQyXQ.mB1TnBjKPzYbn0tmmUWmYRrFHnk", None],
    ),
]

Item = TypeVar("Item")


class Out(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, from_attributes=True)


def plain(resource: type[Out], row: Any, /, **values: Any) -> dict[str, Any]:
    """Return the fields of a resource: attributes of `row`, except `values`."""
    return {name: values[name] if name in values else getattr(row, name) for name in resource.model_fields}


class Listing(Out, Generic[Item]):
    items: list[Item]
    next: Next


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


class InvitationOut(Out):
    id: Id
    user_id: Id
    email: Annotated[str, Field(examples=["ada@example.com"])]
    name: Annotated[str, Field(examples=["Ada Lovelace"])]
    roles: Annotated[list[str], Field(description="Assigned on acceptance.", examples=[["member"]])]
    inviter_id: Id | None
    created_at: Time
    expires_at: Time


class AuditEventOut(Out):
    id: Id
    at: Time
    kind: Annotated[str, Field(examples=["user.deactivated"])]
    sentence: Annotated[str, Field(examples=["Account deactivated: left"])]
    actor_id: int | None = Field(examples=[1])
    actor: str | None = Field(
        description="The current email address, or null for a permanently deleted user.", examples=["ada@example.com"]
    )
    on_behalf_of_id: int | None = Field(description="The user whom the actor impersonated.", examples=[None])
    on_behalf_of: str | None = Field(examples=[None])
    subject_id: int | None = Field(examples=[2])
    subject: str | None = Field(
        description="The current email address, or null for a permanently deleted user.", examples=["bob@example.com"]
    )
    address: str | None = Field(description="The client's IP address.", examples=["203.0.113.7"])
    user_agent: str | None = Field(examples=["Firefox"])
    session_id: int | None = Field(examples=[3])
    request_id: str | None = Field(examples=["c74ad20530d07a0b4e1021ede0504bec"])
    count: Annotated[int, Field(ge=1, description="How often within an hour.", examples=[1])]
    values: Annotated[dict[str, Any], Field(description="Values of this kind of event.", examples=[{"reason": "left"}])]


class SessionOut(Out):
    id: Id
    device: Annotated[str, Field(examples=["Firefox on Linux"])]
    address: Annotated[str, Field(examples=["203.0.113.7"])] | None
    created_at: Time
    last_seen_at: Time
    is_current: Flag


class ProgressOut(Out):
    done: Count
    total: Count | None = Field(description="Null if unknown.", examples=[100000])
    percent: Annotated[int, Field(ge=0, le=100)] | None = Field(examples=[40])
    per_second: float | None = Field(examples=[1200.5])
    seconds_left: Count | None = Field(examples=[50])


class JobOut(Out):
    id: Id
    kind: Kind
    arguments: Annotated[dict[str, Any], Field(description="IDs only.", examples=[{"user_id": 1}])]
    queue: Literal["urgent", "default", "bulk"]
    state: Literal["waiting", "running", "done", "dead", "cancelled"]
    is_retrying: Annotated[bool, Field(description="Waiting after a failed attempt.", examples=[False])]
    progress: ProgressOut
    attempts: Annotated[int, Field(ge=0, examples=[1])]
    max_attempts: Annotated[int, Field(ge=1, examples=[8])]
    outcome: str | None = Field(
        description="The result, or why the last attempt failed.", examples=["rows deleted: 12"]
    )
    traceback: str | None = Field(description="The traceback of the last attempt, without values.", examples=[None])
    worker: str | None = Field(description="Host and process of the last attempt.", examples=["web1:4711"])
    owner_id: int | None = Field(description="The user who caused the job.", examples=[1])
    request_id: str | None = Field(examples=["c74ad20530d07a0b4e1021ede0504bec"])
    run_after: Time
    lease_until: Time | None
    created_at: Time
    started_at: Time | None
    claimed_at: Time | None
    cancel_requested_at: Time | None
    finished_at: Time | None


class LastRunOut(Out):
    id: Id
    state: Literal["waiting", "running", "done", "dead", "cancelled"]
    outcome: str | None = Field(examples=["rows deleted: 12"])
    at: Time


class EntryOut(Out):
    name: Annotated[str, Field(examples=["purge-expired"])]
    kind: Kind
    every_seconds: Annotated[int, Field(ge=1, examples=[21600])]
    next_at: Time | None = Field(description="Null while paused.")
    paused_at: Time | None
    last: LastRunOut | None


class ScheduleOut(Out):
    items: list[EntryOut]


class ExampleOut(Out):
    row: Id
    email: str = Field(examples=["ada@example.com"])
    outcome: OUTCOMES
    reason: str | None = Field(examples=["Duplicate of row 2."])


class RowOut(ExampleOut):
    name: str = Field(examples=["Ada Lovelace"])
    roles: Annotated[list[str], Field(examples=[["member"]])]


class ImportOut(Out):
    id: Id
    file_name: str = Field(examples=["people.csv"])
    state: Annotated[
        Literal["checking", "checked", "applying", "done", "refused", "stopped"],
        Field(description="`stopped`: cancelled or failed, and can be resumed."),
    ]
    problem: str | None = Field(description="Why the file was refused.", examples=[None])
    job_id: int | None = Field(examples=[1])
    progress: ProgressOut | None
    rows: Annotated[int, Field(ge=0, description="An estimate during the check.", examples=[4])]
    checked: Counts
    applied: Counts
    examples: Annotated[list[ExampleOut], Field(description="The first rows that are refused or changed.")]
    ignored: Annotated[list[str], Field(description="Columns that are ignored.", examples=[["shoe size"]])]
    invites: Flag
    created_at: Time
    ended_at: Time | None


class UsersOut(Listing[SomeOfUser]): ...


class RolesOut(Listing[RoleOut]): ...


class InvitationsOut(Listing[InvitationOut]): ...


class AuditEventsOut(Listing[AuditEventOut]): ...


class SessionsOut(Listing[SessionOut]): ...


class JobsOut(Listing[JobOut]): ...


class RowsOut(Listing[RowOut]): ...
