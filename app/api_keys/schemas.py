from typing import Annotated, Any

from pydantic import Field

from app.api.schemas import In, KeyScope, TimeIn, one_line
from app.api_keys.service import DEFAULT_DAYS
from app.core.lengths import MAX_NAME_LENGTH
from app.core.resources import Id, Listing, Out, Time


class ApiKeyOut(Out):
    id: Id
    name: Annotated[str, Field(examples=["Nightly export"])]
    prefix: Annotated[str, Field(description="The start of the key.", examples=["ghk_4fH2aZ"])]
    scopes: Annotated[list[str], Field(examples=[["users:read"]])]
    created_at: Time
    expires_at: Time | None
    last_used_at: Time | None


class NewApiKeyOut(ApiKeyOut):
    key: Annotated[
        str | None,
        Field(
            description="The key. Shown once, and null in a repeated response.",
            examples=["ghk_4fH2aZ7sQwK0yXcV9bNnM3pLrTdEuGiJo5h1", None],
        ),
    ]


class ApiKeysOut(Listing[ApiKeyOut]): ...


KeyName: Any = one_line(MAX_NAME_LENGTH, "Nightly export", can_be_empty=False)


class ApiKeyIn(In):
    name: KeyName
    scopes: Annotated[list[KeyScope], Field(max_length=50, examples=[["users:read"]])] = []
    expires_at: TimeIn | None = Field(
        None, description=f"When it expires. Default: in {DEFAULT_DAYS} days. Null: never."
    )
