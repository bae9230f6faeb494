"""The list of users: every page in every order takes as long as the first, and a search uses an index.

If few users match a filter, those few are sorted; if many match, the sort order's index is scanned and the others
skipped. A bounded count decides which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Row, Select, and_, exists, func, literal, or_, select, union
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.orm import Session as DbSession

from app.models import Role, User, UserWord, user_roles, words_of
from app.services.addresses import searched_address

AnyRow = Row[*tuple[Any, ...]]
AnySelect = Select[*tuple[Any, ...]]
FEW = 2000
# Sorts after every character of an address or a name: the upper bound of a prefix range.
AFTER_ALL = "\U0010ffff"
MOST_WORDS = 5

Status = Literal["active", "deactivated", "unconfirmed"]
Order = Literal["created_at", "email", "name", "last_seen_at"]
_COLUMNS: dict[Order, InstrumentedAttribute[Any]] = {
    "created_at": User.created_at,
    "email": User.email,
    "name": User.name,
    "last_seen_at": User.last_seen_at,
}
_SHOWN = (
    User.id,
    User.email,
    User.name,
    User.is_active,
    User.email_verified_at,
    User.created_at,
    User.updated_at,
    User.last_seen_at,
    User.version,
)


@dataclass(frozen=True, slots=True)
class Position:
    """A position in a list: after the user `id`, whose value in the sort order is `value`."""

    value: str | datetime | None
    id: int


@dataclass(frozen=True, slots=True)
class UserFilter:
    """`q` is a prefix of an address, or prefixes of words of a name."""

    order: Order = "created_at"
    descending: bool = True
    q: str = ""
    role: str | None = None
    status: Status | None = None
    after: Position | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class ListedUser:
    """A user in the list."""

    id: int
    email: str
    name: str
    is_active: bool
    email_verified_at: datetime | None
    created_at: datetime
    updated_at: datetime
    last_seen_at: datetime | None
    version: int
    roles: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Directory:
    session: DbSession

    def find(self, user_id: int) -> ListedUser | None:
        row = self.session.execute(select(*_SHOWN).where(User.id == user_id)).first()
        return self._with_roles([row])[0] if row else None

    def find_self(self, user_id: int, roles: tuple[str, ...]) -> ListedUser | None:
        """The principal's own row; the roles are known already."""
        row = self.session.execute(select(*_SHOWN).where(User.id == user_id)).first()
        return _listed(row, roles) if row else None

    def page(self, wanted: UserFilter) -> tuple[list[ListedUser], Position | None]:
        """One page, and the position of the next; None if there is none."""
        filters = [self._of_status(wanted.status), self._with_role(wanted.role), *self._found_by(wanted.q)]
        query = select(*_SHOWN)
        for condition in filters:
            if condition is not None:
                query = query.where(self._cheapest(condition))
        rows = self._rows(query, wanted)
        more = len(rows) > wanted.limit
        rows = rows[: wanted.limit]
        last = rows[-1] if more else None
        return self._with_roles(rows), Position(getattr(last, wanted.order), last.id) if last else None

    def _rows(self, query: AnySelect, wanted: UserFilter) -> list[AnyRow]:
        """Up to one row more than a page. Users without a value in this order come last."""
        column, count = _COLUMNS[wanted.order], wanted.limit + 1
        rows: list[AnyRow] = []
        after = wanted.after
        if after is None or after.value is not None:
            some = query.where(column.is_not(None)) if wanted.order == "last_seen_at" else query
            if after is not None:
                some = some.where(_beyond(column, after, descending=wanted.descending))
            rows = list(self.session.execute(some.order_by(*_ordered(column, wanted)).limit(count)))
        if wanted.order == "last_seen_at" and len(rows) < count:
            rest = query.where(column.is_(None))
            if after is not None and after.value is None:
                rest = rest.where(User.id < after.id if wanted.descending else User.id > after.id)
            order = User.id.desc() if wanted.descending else User.id
            rows += list(self.session.execute(rest.order_by(order).limit(count - len(rows))))
        return rows

    # ── filters ──

    def _cheapest(self, condition: _Condition) -> ColumnElement[bool]:
        some = condition.ids.limit(FEW + 1).subquery()
        if (self.session.scalar(select(func.count()).select_from(some)) or 0) <= FEW:
            return User.id.in_(condition.ids)
        return condition.holds

    @staticmethod
    def _of_status(status: Status | None) -> _Condition | None:
        if status is None:
            return None
        holds = {
            "active": and_(User.is_active, User.email_verified_at.is_not(None)),
            "deactivated": ~User.is_active,
            "unconfirmed": and_(User.is_active, User.email_verified_at.is_(None)),
        }[status]
        return _Condition(select(User.id).where(holds), holds)

    @staticmethod
    def _with_role(name: str | None) -> _Condition | None:
        if name is None:
            return None
        role_id = select(Role.id).where(Role.name == name).scalar_subquery()
        holders = select(user_roles.c.user_id).where(user_roles.c.role_id == role_id)
        return _Condition(holders, exists(holders.where(user_roles.c.user_id == User.id).correlate(User)))

    @staticmethod
    def _found_by(q: str) -> list[_Condition | None]:
        return [_begins(word) for word in q.split()[:MOST_WORDS]]

    def _with_roles(self, rows: Sequence[AnyRow]) -> list[ListedUser]:
        held: dict[int, list[str]] = {row.id: [] for row in rows}
        if held:
            query = (
                select(user_roles.c.user_id, Role.name)
                .join(Role, Role.id == user_roles.c.role_id)
                .where(user_roles.c.user_id.in_(list(held)))
                .order_by(Role.name)
            )
            for user_id, name in self.session.execute(query):
                held[user_id].append(name)
        return [_listed(row, tuple(held[row.id])) for row in rows]


def _listed(row: AnyRow, roles: tuple[str, ...]) -> ListedUser:
    return ListedUser(**row._mapping, roles=roles)


@dataclass(frozen=True, slots=True)
class _Condition:
    """A filter in two forms: the ids of the matching users, and a condition on a row of `users`."""

    ids: AnySelect
    holds: ColumnElement[bool]


def _begins(typed: str) -> _Condition:
    in_email = _in_range(User.email, searched_address(typed))
    by_name = select(UserWord.user_id).where(*(_in_range(UserWord.word, word) for word in words_of(typed)))
    by_email = select(User.id).where(in_email)
    both = union(by_name, by_email).subquery()
    named = exists(by_name.where(UserWord.user_id == User.id).correlate(User))
    return _Condition(select(both.c[0]), or_(in_email, named))


def _in_range(column: InstrumentedAttribute[str], prefix: str) -> ColumnElement[bool]:
    return and_(column >= prefix, column < prefix + AFTER_ALL)


def _beyond(column: InstrumentedAttribute[Any], after: Position, *, descending: bool) -> ColumnElement[bool]:
    """As two conditions, for which both databases use the index; SQLite does not for a comparison of tuples."""
    value = literal(after.value, column.type)
    if descending:
        return and_(column <= value, or_(column < value, User.id < after.id))
    return and_(column >= value, or_(column > value, User.id > after.id))


def _ordered(column: InstrumentedAttribute[Any], wanted: UserFilter) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    if wanted.descending:
        return column.desc(), User.id.desc()
    return column.asc(), User.id.asc()
