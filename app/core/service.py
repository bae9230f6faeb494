"""The base of all services."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar, dataclass_transform

from sqlalchemy.orm import Session


@dataclass_transform(kw_only_default=True, frozen_default=True)
@dataclass(frozen=True, kw_only=True)
class Service:
    """Rules on one database session. Subclasses are frozen dataclasses whose fields are what else they need; `Work`
    fills them by name. They never commit.
    """

    session: Session
    clock: Callable[[], datetime]

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        dataclass(frozen=True, kw_only=True)(cls)


S = TypeVar("S")


class Services(Protocol):
    """The services of one unit of work, by their class."""

    def __getitem__(self, kind: type[S]) -> S: ...
