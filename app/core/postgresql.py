"""Connections that stop waiting for PostgreSQL, so that a hanging server blocks no threads.

The server ends statements and waits for locks (`SET LOCAL`, which a pooler in transaction mode keeps apart). A server
that is frozen ends nothing, so a request also stops waiting by itself. After such a wait, the requests of this process
are refused at once for a few seconds.
"""

from collections.abc import Generator
from threading import Lock
from time import monotonic
from typing import Any, TypeVar

import psycopg
from flask import has_request_context
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext

from app.core.patience import patience

Result = TypeVar("Result")

REFUSED_SECONDS = 5.0
# The limit of the last free thread, when all others already wait for the database; the same time requests are refused
# after that, because the server may only be slow.
LAST_THREAD_SECONDS = 1.0
LOCK_NOT_AVAILABLE = "55P03"


class ServerHangs(psycopg.OperationalError):
    """PostgreSQL was waited for in vain, or was so a moment ago."""


class Waits:
    """The requests of this process that wait for PostgreSQL. At least one of its threads is to stay free."""

    def __init__(self, threads: int) -> None:
        self._most = max(1, threads - 1)
        self._lock = Lock()
        self._waiting = 0
        self._refused_until = 0.0

    def check(self) -> None:
        """Raises ServerHangs while requests are refused."""
        if monotonic() < self._refused_until and has_request_context():
            raise ServerHangs("PostgreSQL hung a moment ago; it is asked again in a few seconds")

    def refuse(self, seconds: float = REFUSED_SECONDS) -> None:
        self._refused_until = max(self._refused_until, monotonic() + seconds)

    def limit(
        self, steps: Generator[Any, Any, Result], seconds: float, *, may_be_last: bool
    ) -> Generator[Any, Any, Result]:
        """Run the steps of psycopg, and give up after `seconds`.

        It continues after 0.1 s without a response, with 0. With `may_be_last` it continues to wait when no thread is
        free.
        """
        self._count(1)
        began = monotonic()
        try:
            state = next(steps)
            while True:
                ready = yield state
                if ready:
                    state = steps.send(ready)
                    continue
                waited = monotonic() - began
                is_last = not may_be_last and waited > LAST_THREAD_SECONDS and self._waiting > self._most
                if waited > seconds or is_last:
                    self.refuse(LAST_THREAD_SECONDS if is_last else REFUSED_SECONDS)
                    raise ServerHangs(f"PostgreSQL did not answer within {waited:.1f} seconds")
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._lock:
            self._waiting += change


class PatientConnection(psycopg.Connection[Any]):
    """A connection that closes itself when the server does not respond in time, because its state is unknown."""

    waits: Waits | None = None
    _is_committing = False

    def commit(self) -> None:
        """Commit, with a long limit: without a response to COMMIT, the result is unknown."""
        self._is_committing = True
        try:
            super().commit()
        finally:
            self._is_committing = False

    def beginning(self) -> str:
        """Return the message that begins a transaction with the limits of the current work."""
        statements = ["BEGIN"] if self.autocommit else []
        if (limits := patience()) is not None:
            statements += [
                f"SET LOCAL lock_timeout = '{limits.lock}s'",
                f"SET LOCAL statement_timeout = '{limits.statement}s'",
            ]
        return "; ".join(statements)

    def rollback(self) -> None:
        """Close without asking the server if there is no transaction."""
        if self.pgconn.transaction_status != TransactionStatus.IDLE:
            super().rollback()

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        limits = patience()
        if limits is None or limits.answer is None or self.waits is None:
            return super().wait(gen, interval, timeout)
        if self.pgconn.transaction_status == TransactionStatus.IDLE:  # A statement that has started may end.
            self.waits.check()
        try:
            return super().wait(
                self.waits.limit(gen, limits.answer, may_be_last=self._is_committing), interval, timeout
            )
        except ServerHangs:
            self.close()
            raise


def limit_waits(engine: Engine, *, threads: int) -> None:
    """Make the connections of `engine` wait no longer than `patience` says. `threads` are those of a web process."""
    waits = Waits(threads)

    @event.listens_for(engine, "do_connect")
    def _connect(dialect: Any, record: Any, arguments: Any, options: dict[str, Any]) -> PatientConnection:
        waits.check()
        # We say BEGIN ourselves, in one message with the limits.
        connection = PatientConnection.connect(*arguments, **options, autocommit=True)
        connection.waits = waits
        return connection

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        if statements := driver.beginning():
            connection.exec_driver_sql(statements, execution_options={"no_parameters": True})

    @event.listens_for(engine, "handle_error")
    def _handle_error(context: ExceptionContext) -> None:
        """Refuse further requests after a lock timeout: a migration or session holds the lock, and others would wait
        too.
        """
        if getattr(context.original_exception, "sqlstate", None) == LOCK_NOT_AVAILABLE and has_request_context():
            waits.refuse()
