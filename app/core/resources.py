"""The resources of API and commands: which fields they show, in this order, with types for the OpenAPI document."""

from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from app.core.lengths import MAX_ROLE_NAME_LENGTH
from app.core.models import MAX_ID

CLEAN = r"^[^\x00-\x1f\x7f-\x9f]*$"
Id = Annotated[int, Field(ge=1, le=MAX_ID, examples=[1])]
Time = Annotated[datetime, Field(examples=["2026-11-12T14:05:00Z"])]
Flag = Annotated[bool, Field(examples=[True])]
RoleName = Annotated[str, Field(min_length=1, max_length=MAX_ROLE_NAME_LENGTH, pattern=CLEAN, examples=["member"])]
Kind = Annotated[str, Field(max_length=64, pattern="^[a-z][a-z0-9_]*$", examples=["send_invitation"])]
Count = Annotated[int, Field(ge=0, examples=[40000])]
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
