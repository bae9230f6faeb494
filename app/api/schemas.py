"""Schemas of requests and responses; unknown fields are refused, and only named fields are returned."""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from app.auth.password_setup import credentials
from app.core import errors
from app.core.addresses import NOT_IN_NAMES, canonical_address, clean_name, reserved_domains
from app.core.extensions import settings
from app.core.lengths import (
    MAX_ADDRESS_LENGTH,
    MAX_NAME_LENGTH,
    MAX_PASSWORD_LENGTH,
)
from app.core.resources import CLEAN, RoleName
from app.users.permissions import ACCOUNT_SCOPES, PERMISSIONS

SPACES = r" \xa0\u1680\u2000-\u200a\u202f\u205f\u3000"
# RFC 3339, section 5.6, without dates that no expiry needs: three-digit years, leap seconds, offsets of a day.
TIME = (
    r"^[1-9][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)


def _email(typed: str) -> str:
    try:
        return canonical_address(typed)
    except errors.AccountError as refusal:
        raise ValueError(str(refusal)) from None


def one_line(longest: int, example: str, *, can_be_empty: bool = True) -> Any:
    """Return a field type for one line of text."""
    any_text = f"[^{NOT_IN_NAMES}]*"
    pattern = f"^{any_text}$" if can_be_empty else f"^{any_text}[^{NOT_IN_NAMES}{SPACES}]{any_text}$"

    def clean(typed: str) -> str:
        try:
            text = clean_name(typed, longest=longest)
        except errors.AccountError as refusal:
            raise ValueError(str(refusal)) from None
        if not text and not can_be_empty:
            raise ValueError("This can't be empty.")
        return text

    shortest = None if can_be_empty else 1
    field = Field(min_length=shortest, max_length=longest, json_schema_extra={"pattern": pattern}, examples=[example])
    return Annotated[str, field, AfterValidator(clean)]


def _say_reserved_domains(schema: dict[str, Any]) -> None:
    reserved = "|".join(reserved_domains())
    # A host name with a dot (UTS 46) whose last label is not numeric.
    last = rf"(?!.*\.({reserved}|[0-9]+)$)"
    schema.update(format="email", pattern=rf"^{last}{CLEAN[1:-1]}@{CLEAN[1:-1]}[.\u3002\uff0e\uff61]{CLEAN[1:-1]}$")


Email = Annotated[
    str,
    Field(
        min_length=3,
        max_length=MAX_ADDRESS_LENGTH,
        pattern=CLEAN,
        description="Letters of any script are accepted. Domains are stored in ASCII.",
        json_schema_extra=_say_reserved_domains,
        examples=["ada@example.com"],
    ),
    AfterValidator(_email),
]
Name: Any = one_line(MAX_NAME_LENGTH, "Ada Lovelace")
Password = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_PASSWORD_LENGTH,
        json_schema_extra={"format": "password"},
        examples=["a quieter harbour"],
    ),
]


def _of_length(password: str) -> str:
    try:
        credentials.policy.check_length(password)
    except errors.WeakPassword as refusal:
        raise PydanticCustomError("weak_password", "{sentence}", {"sentence": str(refusal)}) from None
    return password


def _say_bounds(schema: dict[str, Any]) -> None:
    schema.update(format="password", minLength=settings().password_min_length, maxLength=settings().password_max_length)


ChosenPassword = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_PASSWORD_LENGTH,
        description="Hard to guess, without words of the name or email address.",
        json_schema_extra=_say_bounds,
        examples=["a quieter harbour"],
    ),
    AfterValidator(_of_length),
]
Token = Annotated[
    str, Field(min_length=1, max_length=512, pattern=CLEAN, examples=["kEvbcU2fBhGZtvBaIIv8yRWWPVDQTDWpsgGzpvX3FNg"])
]
RoleNames = Annotated[list[RoleName], Field(max_length=20, examples=[["member"]])]


class In(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


class Query(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


def _written(value: Any) -> Any:
    """Refuse numbers and dates without a time, which pydantic would accept."""
    if not isinstance(value, str) or not re.fullmatch(TIME, value):
        lost_plus = isinstance(value, str) and re.fullmatch(TIME, value.replace(" ", "+"))
        raise ValueError(f"Send a time like 2099-12-31T23:59:59Z{'; write + as %2B in a URL' if lost_plus else ''}.")
    return value


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("Send a time between the years 1 and 9999.") from None


TimeIn = Annotated[
    AwareDatetime,
    Field(
        strict=False,
        json_schema_extra={"pattern": TIME},
        examples=["2099-12-31T23:59:59Z"],
    ),
    BeforeValidator(_written),
    AfterValidator(_in_utc),
]


Cursor = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1024,
        description="`next` of the previous page, for the same filters and order.",
    ),
]
Limit = Annotated[int, Field(ge=1, le=100, description="The maximum number of items.", examples=[50])]


class PageQuery(Query):
    limit: Limit = 50
    cursor: Cursor | None = None


def _one_of(names: Callable[[], Iterable[str]]) -> Any:
    """Return a field type for one of these names, which are complete only when the application is."""

    def check(name: str) -> str:
        if name not in names():
            raise ValueError(f"Choose from {', '.join(sorted(names()))}.")
        return name

    described = Field(json_schema_extra=lambda schema: schema.update(enum=[*sorted(names())]), examples=["users:read"])
    return Annotated[str, described, AfterValidator(check)]


Permission: Any = _one_of(lambda: PERMISSIONS)
KeyScope: Any = _one_of(lambda: {*PERMISSIONS, *ACCOUNT_SCOPES})
