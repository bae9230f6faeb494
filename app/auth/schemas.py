from typing import Annotated, Literal

from pydantic import Field

from app.api.schemas import ChosenPassword, Email, In, Name, Password, Token
from app.core.lengths import MAX_CODE_LENGTH
from app.core.resources import CLEAN, Flag, Id, Listing, Out, Time
from app.users.schemas import UserOut


class SessionOut(Out):
    id: Id
    device: Annotated[str, Field(examples=["Firefox on Linux"])]
    address: Annotated[str, Field(examples=["203.0.113.7"])] | None
    created_at: Time
    last_seen_at: Time
    is_current: Flag


class SessionsOut(Listing[SessionOut]): ...


class RegisterIn(In):
    email: Email
    password: ChosenPassword
    name: Name = ""


class VerifyEmailIn(In):
    token: Token
    password: Password


class LoginIn(In):
    email: Email
    password: Password
    code: Annotated[str, Field(max_length=MAX_CODE_LENGTH, pattern=CLEAN, examples=["123456"])] | None = None


class ConfirmIn(In):
    """`code` if a second factor is set up, else `password`."""

    password: Password | None = None
    code: Annotated[str, Field(max_length=MAX_CODE_LENGTH, pattern=CLEAN, examples=["123456"])] | None = None


class RefreshIn(In):
    refresh_token: Token


class EmailIn(In):
    email: Email


class ResetPasswordIn(In):
    token: Token
    password: ChosenPassword


class PairOut(Out):
    access_token: Annotated[
        str,
        Field(
            description="A JWT (RFC 9068), for the Authorization header.",
            examples=["eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl"],
        ),
    ]
    token_type: Annotated[Literal["Bearer"], Field(examples=["Bearer"])] = "Bearer"
    expires_in: Annotated[int, Field(ge=1, description="Seconds until the access token expires.", examples=[600])]
    refresh_token: Annotated[
        str,
        Field(
            description="Can be used once, at /auth/refresh.", examples=["kEvbcU2fBhGZtvBaIIv8yRWWPVDQTDWpsgGzpvX3FNg"]
        ),
    ]


class TokensOut(PairOut):
    user: UserOut
