"""Deletion of expired rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, delete, select

from app.core.dialects import rowcount
from app.core.models import Base

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.unit_of_work import Work
    from app.users.models import User

KEPT_AFTER_END = timedelta(days=30)

# Processes at most so many rows, and returns how many.
Purge = Callable[["Work", int], int]

Erasure = Callable[["Session", "User"], None]


def purge_where(model: type[Base], is_due: Callable[[Work], ColumnElement[bool]]) -> Purge:
    """Return a function that deletes the rows that meet a condition."""

    def purge(work: Work, at_most: int) -> int:
        key: Any = model.__table__.c.id
        keys = select(key).where(is_due(work)).limit(at_most)
        due = delete(model).where(key.in_(keys)).execution_options(synchronize_session=False)
        return rowcount(work.session, due)

    return purge


def ended_before(work: Work) -> datetime:
    """Return the time before which something must have ended to be deleted."""
    return work.clock() - KEPT_AFTER_END
