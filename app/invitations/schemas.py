from typing import Annotated

from pydantic import Field

from app.api.schemas import Email, In, Name, RoleNames
from app.core.resources import Id, Listing, Out, Time


class InvitationOut(Out):
    id: Id
    user_id: Id
    email: Annotated[str, Field(examples=["ada@example.com"])]
    name: Annotated[str, Field(examples=["Ada Lovelace"])]
    roles: Annotated[list[str], Field(description="Assigned on acceptance.", examples=[["member"]])]
    inviter_id: Id | None
    created_at: Time
    expires_at: Time


class InvitationsOut(Listing[InvitationOut]): ...


class InviteIn(In):
    email: Email
    name: Name = ""
    roles: RoleNames = []
