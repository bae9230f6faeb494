"""Lookups return what SQLAlchemy returns, with its errors, on both databases."""

import sys
from itertools import product

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from app.core.database import one_read
from app.core.extensions import db, now
from app.core.lookups import Lookup
from app.core.principal import OPERATOR
from app.features import load_features
from app.unit_of_work import unit_of_work
from app.users.services import search as user_search
from app.users.services.search import _Sort

load_features()
MODULES = [module for name, module in sys.modules.items() if name.startswith("app.")]
LOOKUPS = {
    **{
        f"{module.__name__}.{name}": value
        for module in sorted(MODULES, key=lambda module: module.__name__)
        for name, value in vars(module).items()
        if isinstance(value, Lookup)
    },
    **{
        f"page {sort}": user_search._usual_page(sort)
        for sort in map(_Sort._make, product(["name", "last_seen_at"], [True, False], ["start", "value", "null"]))
        if sort.order == "last_seen_at" or sort.after != "null"
    },
}
VALUES = {"after_id": 3, "most": 3, "user_id": 1, "session_id": 1, "token_hash": "x", "key_hash": "x"}


@pytest.fixture
def filled(app):
    with app.app_context(), unit_of_work() as work:
        for number, name in enumerate(("Ada", "Grace", "Ada")):
            roles = ["member", "manager"]
            work.users.create(email=f"{number}@example.com", name=name, roles=roles, password=None, by=OPERATOR)
    return app


@pytest.mark.databases("sqlite", "postgresql")
@pytest.mark.parametrize("name", LOOKUPS)
def test_lookup_reads_what_the_statement_reads(filled, name, monkeypatch):
    lookup = LOOKUPS[name]
    with filled.app_context():
        parameters = lookup.statement.compile(db.engine).params
        known = VALUES | {"at": now(), "after_value": "Ada" if "order='name'" in name else now()}
        values = {parameter: known[parameter] for parameter in parameters if parameter in known}
        expected = [tuple(row) for row in db.session.execute(lookup.statement, values)]
        monkeypatch.setattr("sqlalchemy.Engine.connect", None)  # Not through SQLAlchemy.
        assert [tuple(row) for row in lookup.all(one_read(), **values)] == expected


@pytest.mark.databases("sqlite", "postgresql")
def test_lookup_leaves_no_connection_or_transaction_open(filled):
    with filled.app_context():
        for _ in range(30):  # More than the pool has.
            assert user_search._SOMEBODY.first(one_read(), user_id=0) is None
        assert db.engine.pool.checkedout() == 0


@pytest.mark.databases("sqlite", "postgresql")
def test_lookup_raises_sqlalchemy_errors(app):
    with app.app_context():
        wrong = Lookup(text("SELECT nothing FROM nowhere").columns())
        with pytest.raises((OperationalError, ProgrammingError)):
            wrong.all(one_read())


def test_lookup_fires_statement_events(filled):
    with filled.app_context():
        heard = []
        listen = lambda *arguments: heard.append(arguments[2])  # noqa: E731
        event.listen(db.engine, "before_cursor_execute", listen)
        user_search._SOMEBODY.first(one_read(), user_id=1)
        event.remove(db.engine, "before_cursor_execute", listen)
    assert "FROM users" in heard[-1]
