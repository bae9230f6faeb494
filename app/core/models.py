"""The declarative base, its naming convention and the column type for times."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Index, Integer, MetaData, String, TextClause
from sqlalchemy.orm import DeclarativeBase, registry
from sqlalchemy.types import TypeDecorator

# On SQLite, Alembic can only drop constraints that have a name.
NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

# SQLite autoincrements INTEGER only; PostgreSQL gets ids above two billion.
BigId = BigInteger().with_variant(Integer(), "sqlite")
MAX_ID = 2**63 - 1


def by_bytes(length: int) -> String:
    """Order text by code point, so that a prefix search is a range."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


def partial_index(name: str, *columns: str, where: TextClause, unique: bool = False) -> Index:
    """Return an index on the rows that meet `where`; `complete_indexes` sets the condition for the database in use."""
    return Index(name, *columns, unique=unique, info={"where": where})


def complete_indexes(dialect: str) -> None:
    """Set the condition of partial indexes for `dialect` only: naming both dialects would import both."""
    for table in Base.metadata.tables.values():
        for index in table.indexes:
            if "where" in index.info:
                index.dialect_kwargs[f"{dialect}_where"] = index.info["where"]


def _read_text(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value).replace(tzinfo=UTC)


class UtcTime(TypeDecorator[datetime]):
    """An aware datetime in UTC, on databases that keep the zone and on those that do not."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        return value.astimezone(UTC)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Parse SQLite's text in one step: a list contains hundreds of times."""
        return _read_text if dialect.name == "sqlite" else super().result_processor(dialect, coltype)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# In the `info` of a table with a `user_id` or `owner_id`: its name in a user's download if that is another, or None if
# its rows say nothing about the user.
OWN_DATA = "own_data"


class Base(DeclarativeBase):
    # A registry of its own, because Flask-SQLAlchemy makes a second base from this one and lets it share.
    registry = registry(
        metadata=MetaData(naming_convention=NAMES),
        type_annotation_map={
            int: BigId,
            datetime: UtcTime(),
            dict[str, Any]: JSON(),
            dict[str, str]: JSON(),
            list[str]: JSON(),
        },
    )
