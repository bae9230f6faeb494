from typing import Annotated, Any

from pydantic import Field

from app.api.schemas import PageQuery, TimeIn
from app.core.models import MAX_ID
from app.core.resources import CLEAN, Id, Listing, Out, Time


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


class AuditEventsOut(Listing[AuditEventOut]): ...


class AuditQuery(PageQuery):
    actor_id: Annotated[int, Field(ge=1, le=MAX_ID, description="The actor.")] | None = None
    subject_id: Annotated[int, Field(ge=1, le=MAX_ID, description="The affected user.")] | None = None
    kind: Annotated[str, Field(max_length=64, pattern=CLEAN, examples=["user.deleted"])] | None = None
    since: TimeIn | None = None
    until: TimeIn | None = None
