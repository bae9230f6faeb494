"""The list of users: each page in each order costs the same, and a search uses an index.

If few users match a filter, those few are sorted; if many match, the sort order's index is scanned and the others
skipped. A bounded count decides which.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    CompoundSelect,
    Integer,
    Row,
    Select,
    TextClause,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    or_,
    select,
    union_all,
)
from sqlalchemy.orm import InstrumentedAttribute

from app.core.addresses import searched_address
from app.core.lookups import Lookup, Source
from app.core.models import MAX_ID
from app.core.service import Service
from app.statistics.models import Statistic
from app.statistics.service import USERS
from app.users.models import MORE_USER_FIELDS, Role, Status, User, UserWord, user_roles, words_of
from app.users.models.user import DEACTIVATED, DELETED, UNCONFIRMED, status_of

AnyRow = Row[*tuple[Any, ...]]
AnySelect = Select[*tuple[Any, ...]]
Conditions = list[ColumnElement[bool] | TextClause]
FEW = 2000
COUNTED = 10_000  # Up to that, a number of users is exact.
CHUNK = 1000
# Sorts after every character of an address or a name: the upper bound of a prefix range.
AFTER_ALL = "\U0010ffff"
MAX_WORDS = 5
# Between the names of a user's roles in one column; names are one line.
_BETWEEN = "\n"
_BETWEEN_NAMES: Any = literal_column(f"'{_BETWEEN}'")

Order = Literal["created_at", "email", "name", "last_seen_at"]


@dataclass(frozen=True, slots=True)
class Position:
    """A position in a list: after the user `id`, whose value in the sort order is `value`."""

    value: str | datetime | None
    id: int


@dataclass(frozen=True, slots=True)
class UserFilter:
    """Filters of the list of users.

    `q` is the start of an email address, of `@` and a domain, or of words of a name, or an ID; `seen_before` includes
    users who were never seen.
    Deleted users are found only with the status `deleted`.
    """

    order: Order = "created_at"
    descending: bool = True
    q: str = ""
    role: str | None = None
    status: Status | None = None
    seen_before: datetime | None = None
    after: Position | None = None
    limit: int = 50


class UserCount(NamedTuple):
    """A number of users; not exact, it is COUNTED for more than that, or a rounded total."""

    value: int
    is_exact: bool

    def __str__(self) -> str:
        if self.is_exact:
            return f"{self.value:,} {'user' if self.value == 1 else 'users'}"
        return f"{'More than' if self.value == COUNTED else 'About'} {self.value:,} users"


class ListedUser(NamedTuple):
    """A user in the list; the fields but the last two are columns. `more` has the texts of MORE_USER_FIELDS."""

    id: int
    email: str
    name: str
    is_active: bool
    email_verified_at: datetime | None
    created_at: datetime
    updated_at: datetime
    last_seen_at: datetime | None
    deleted_at: datetime | None
    version: int
    more: Mapping[str, str | None]
    roles: tuple[str, ...]

    @property
    def status(self) -> Status:
        return status_of(self)


# Columns of the table, not attributes: these statements need nothing of the ORM, which takes as long as the rest.
_USERS, _ROLES = User.__table__.c, Role.__table__.c
_COLUMNS = ListedUser._fields[:-2]
_SHOWN = [_USERS[name] for name in (*_COLUMNS, *MORE_USER_FIELDS)]
# A statement that is the same for every request is built once: to build one takes longer than to run it.
_THERE = _USERS.deleted_at.is_(None)


class UserSearch(Service):
    source: Source

    def find(self, user_id: int, *, deleted: bool = False) -> ListedUser | None:
        row = (_ANYBODY if deleted else _SOMEBODY).first(self.source, user_id=user_id)
        return _listed(row) if row else None

    def page(self, filters: UserFilter) -> tuple[list[ListedUser], Position | None]:
        """Return one page, and the position of the next or None. Two statements at most."""
        return self._page(filters, self._cheapest(filters))

    def page_with_count(self, filters: UserFilter) -> tuple[list[ListedUser], Position | None, UserCount]:
        """Return a page as `page` does, and the number of matches."""
        conditions = self._cheapest(filters)
        count = self._bounded(select(User.id).where(*conditions)) if conditions else self.total()
        return (*self._page(filters, conditions), count)

    def total(self) -> UserCount:
        """Return the number of users that are not deleted; beyond COUNTED, that of the last statistics."""
        counted, every, deleted = _TOTAL.first(self.source, most=COUNTED + 1)
        if every is None:
            return UserCount(round(counted, 3 - len(str(counted))), is_exact=False)
        return UserCount(min(every - deleted, COUNTED), is_exact=every <= COUNTED)

    def _bounded(self, ids: AnySelect) -> UserCount:
        count = self.session.scalar(select(func.count()).select_from(ids.limit(COUNTED + 1).subquery())) or 0
        return UserCount(min(count, COUNTED), is_exact=count <= COUNTED)

    def _page(self, filters: UserFilter, conditions: Conditions) -> tuple[list[ListedUser], Position | None]:
        values: dict[str, Any] = {"most": filters.limit + 1}
        if filters.after is not None:
            values |= {"after_value": filters.after.value, "after_id": filters.after.id}
        sort = _Sort.of(filters)
        if conditions:
            rows: Sequence[Any] = self.session.execute(_page_of(conditions, sort), values).all()
        else:
            rows = _usual_page(sort).all(self.source, **values)
        users = [_listed(row) for row in rows[: filters.limit]]
        last = users[-1] if len(rows) > filters.limit else None
        return users, Position(getattr(last, filters.order), last.id) if last else None

    def walk(self, filters: UserFilter) -> Iterator[ListedUser]:
        """Yield all matches, read CHUNK at a time."""
        following: Position | None = filters.after
        while True:
            users, following = self.page(replace(filters, after=following, limit=CHUNK))
            self.session.rollback()  # No transaction stays open between two chunks.
            yield from users
            if following is None:
                return

    def _cheapest(self, filters: UserFilter) -> Conditions:
        """Return each condition in the form that suits the number of matching users, counted up to a bound; none
        without filters.
        """
        conditions = _conditions(filters)
        if not conditions:
            return []
        there: Conditions = [] if filters.status == "deleted" else [_THERE]
        cheapest = [*there, *(condition.holds for condition in conditions if condition.ids is None)]
        counted = [(condition.ids, condition.holds) for condition in conditions if condition.ids is not None]
        if counted:
            some = [ids.limit(FEW + 1).subquery() for ids, _ in counted]
            counts = select(*(select(func.count()).select_from(condition).scalar_subquery() for condition in some))
            # Twice the count and ten more: what joins before the next statement is not cut off.
            for (ids, holds), count in zip(counted, self.session.execute(counts).one(), strict=True):
                cheapest.append(User.id.in_(ids.limit(_literal(2 * count + 10))) if count <= FEW else holds)
        return cheapest


def _literal(count: int) -> BindParameter[int]:
    """Return a literal limit: it tells PostgreSQL how few rows to plan for, which a parameter would hide."""
    return bindparam(None, count, Integer, literal_execute=True)


def _listed(row: AnyRow) -> ListedUser:
    *values, roles = row
    more = dict(zip(MORE_USER_FIELDS, values[len(_COLUMNS) :], strict=True)) if MORE_USER_FIELDS else {}
    return ListedUser._make([*values[: len(_COLUMNS)], more, tuple(sorted(roles.split(_BETWEEN))) if roles else ()])


def _with_roles(some: AnySelect | CompoundSelect[*tuple[Any, ...]], sort: _Sort | None = None) -> AnySelect:
    """Return the rows of `some`, in order, with their role names."""
    subquery = some.subquery("found")
    names = (
        select(func.aggregate_strings(_ROLES.name, _BETWEEN_NAMES))
        .join_from(Role.__table__, user_roles, user_roles.c.role_id == _ROLES.id)
        .where(user_roles.c.user_id == subquery.c.id)
        .scalar_subquery()
    )
    query = select(subquery, names.label("roles"))
    if sort is None:
        return query
    column = subquery.c[sort.order]
    return query.order_by(column.is_(None), *sort.by(column, subquery.c.id)).limit(_MOST)


_COUNTED = select(Statistic.value).where(Statistic.name == USERS).order_by(Statistic.period.desc()).limit(1)
_MANY = _COUNTED.scalar_subquery() > bindparam("most", type_=Integer) - 1
_EVERY = select(_USERS.id).limit(bindparam("most", type_=Integer)).subquery()  # Of an index alone.
_DELETED = select(func.count()).select_from(User.__table__).where(DELETED)
# The counts in a CASE are made only if the statistics know of few users, or of none.
_TOTAL = Lookup(
    select(
        _COUNTED.scalar_subquery().label("counted"),
        case((_MANY, None), else_=select(func.count()).select_from(_EVERY).scalar_subquery()).label("every"),
        case((_MANY, None), else_=_DELETED.scalar_subquery()).label("deleted"),
    )
)
_ANYBODY = Lookup(_with_roles(select(*_SHOWN).where(_USERS.id == bindparam("user_id"))))
_SOMEBODY = Lookup(_with_roles(select(*_SHOWN).where(_USERS.id == bindparam("user_id"), _THERE)))


# ── a page ──


_MOST = bindparam("most", type_=Integer)
_AFTER_ID = bindparam("after_id", type_=Integer)


class _Sort(NamedTuple):
    """The properties of a page's statement besides the filters; `after` is the page's position in the list."""

    order: Order
    descending: bool
    after: Literal["start", "value", "null"]

    @classmethod
    def of(cls, filters: UserFilter) -> _Sort:
        position = filters.after
        after = "start" if position is None else "value" if position.value is not None else "null"
        return cls(filters.order, filters.descending, after)  # type: ignore[arg-type]

    def by(self, column: ColumnElement[Any], user_id: ColumnElement[int]) -> tuple[ColumnElement[Any], ...]:
        return (column.desc(), user_id.desc()) if self.descending else (column.asc(), user_id.asc())


def _page_of(conditions: Sequence[ColumnElement[bool] | TextClause], sort: _Sort) -> AnySelect:
    """Return up to `most` users, after `after_value` and `after_id` if given."""
    parts = [
        part.order_by(*sort.by(_USERS[sort.order], _USERS.id)).limit(_MOST)
        for part in _parts(select(*_SHOWN).where(*conditions), sort)
    ]
    some = parts[0] if len(parts) == 1 else union_all(*(select(part.subquery()) for part in parts))
    return _with_roles(some, sort)


@lru_cache
def _usual_page(sort: _Sort) -> Lookup:
    """Return a page without filters."""
    return Lookup(_page_of([_THERE], sort))


def _parts(query: AnySelect, sort: _Sort) -> list[AnySelect]:
    """Return the parts of the list in its order. Users without a value in this order come last."""
    column = _USERS[sort.order]
    if sort.order != "last_seen_at":
        return [query if sort.after == "start" else query.where(_beyond(column, descending=sort.descending))]
    with_value, without = query.where(column.is_not(None)), query.where(column.is_(None))
    if sort.after == "start":
        return [with_value, without]
    if sort.after == "value":
        return [with_value.where(_beyond(column, descending=sort.descending)), without]
    return [without.where(_USERS.id < _AFTER_ID if sort.descending else _USERS.id > _AFTER_ID)]


# ── filters ──


@dataclass(frozen=True, slots=True)
class _Condition:
    """A filter in two forms: the ids of the matching users, if an index finds them, and a condition on a row."""

    ids: AnySelect | None
    holds: ColumnElement[bool] | TextClause


def _conditions(filters: UserFilter) -> list[_Condition]:
    words = [_begins(word) for word in filters.q.split()[:MAX_WORDS]]
    status = [_of_status(filters.status)] if filters.status else []
    role = [_with_role(filters.role)] if filters.role is not None else []
    seen = [_seen_before(filters.seen_before)] if filters.seen_before is not None else []
    return [*status, *role, *seen, *words]


def _of_status(status: Status) -> _Condition:
    if status == "active":  # Most are; no index leads to them.
        return _Condition(None, and_(User.is_active, User.email_verified_at.is_not(None)))
    # Word for word as in the partial indexes, or SQLite would not use them.
    holds = {"deactivated": DEACTIVATED, "unconfirmed": UNCONFIRMED, "deleted": DELETED}[status]
    return _Condition(select(User.id).where(holds), holds)


def _seen_before(at: datetime) -> _Condition:
    before, never = User.last_seen_at < at, User.last_seen_at.is_(None)
    both = union_all(select(User.id).where(before), select(User.id).where(never)).subquery()
    return _Condition(select(both.c[0]), or_(before, never))


def _with_role(name: str) -> _Condition:
    role_id = select(Role.id).where(Role.name == name).scalar_subquery()
    holders = select(user_roles.c.user_id).where(user_roles.c.role_id == role_id)
    # In the order of the index: PostgreSQL plans for an average role, and would rather read all holders of all roles.
    in_order = holders.order_by(user_roles.c.user_id)
    return _Condition(in_order, exists(holders.where(user_roles.c.user_id == User.id).correlate(User)))


def _begins(typed: str) -> _Condition:
    """Match the start of an address, of a domain after `@` or of a word of a name; a number is also an id."""
    # A domain is stored as in addresses, so it is read as that of one.
    text = searched_address(f"a{typed}").removeprefix("a") if typed.startswith("@") else typed
    in_email = _in_range(User.email, searched_address(text))
    by_word = select(UserWord.user_id).where(*(_in_range(UserWord.word, word) for word in words_of(text)))
    named = exists(by_word.where(UserWord.user_id == User.id).correlate(User))
    holds = [in_email, named]
    if typed.isascii() and typed.isdecimal() and int(typed) <= MAX_ID:
        holds.append(User.id == int(typed))
    by_columns = [select(User.id).where(condition) for condition in holds if condition is not named]
    every = union_all(by_word, *by_columns).subquery()  # It may name one twice, and so stops at the bound.
    return _Condition(select(every.c[0]), or_(*holds))


def _in_range(column: InstrumentedAttribute[str], prefix: str) -> ColumnElement[bool]:
    return and_(column >= prefix, column < prefix + AFTER_ALL)


def _beyond(column: ColumnElement[Any], *, descending: bool) -> ColumnElement[bool]:
    """Return two conditions, for which both databases use the index; SQLite does not for tuple comparison."""
    value = bindparam("after_value", type_=column.type)
    if descending:
        return and_(column <= value, or_(column < value, _USERS.id < _AFTER_ID))
    return and_(column >= value, or_(column > value, _USERS.id > _AFTER_ID))
