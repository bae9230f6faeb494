"""Notification of workers through RQ."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, cast

from flask import Flask, current_app

from app.core.settings import CoreSettings
from app.jobs.services.queue import DueJob

if TYPE_CHECKING:
    from redis import Redis

    from app.jobs.redis_queue import Workers

log = logging.getLogger(__name__)

NO_CLUSTER = "The server at REDIS_URL is a cluster, which RQ does not support. Use a single or replicated server."


class QueueNotifier:
    """Notifies the workers through RQ. It stores nothing: the scheduler repeats a lost notification."""

    def init_app(self, app: Flask, settings: CoreSettings) -> None:
        app.extensions["queue"] = None
        if settings.queue_url:
            app.extensions["queue"] = import_module("app.core.redis_client").connect(settings.queue_url)

    @property
    def connection(self) -> Redis | None:
        """Return the application's queue client; None without a queue."""
        return cast("Redis | None", current_app.extensions["queue"])

    def notify(self, due_jobs: Iterable[DueJob]) -> None:
        """Push the IDs; log an unreachable queue. Nothing is lost."""
        if self.connection is None:
            return
        client = queue_client()
        try:
            for due in due_jobs:
                client.call_worker(self.connection, due)
        except client.RedisError as problem:
            _log_away(problem)

    def lengths(self) -> dict[str, int]:
        """Return the number of notifications in each queue; empty if the queue is unreachable."""
        if self.connection is None:
            return {}
        client = queue_client()
        try:
            return cast("dict[str, int]", client.lengths(self.connection))
        except client.RedisError as problem:
            _log_away(problem)
            return {}

    def record_heartbeat(self, *, at: datetime, interval: float) -> None:
        """Record that the schedule ran `at`, and runs again in `interval` seconds."""
        if self.connection is not None:
            queue_client().record_heartbeat(self.connection, at=at, lives=int(3 * interval) + 60)

    def find_workers(self) -> Workers | None:
        """Return the workers and the last run of the schedule, or None if the queue is away."""
        return None if self.connection is None else cast("Workers | None", queue_client().find_workers(self.connection))

    def state(self) -> str:
        """Return `ok`; `missing` without a server or response; `unwritable`; `cluster`, which RQ does not support."""
        return "missing" if self.connection is None else queue_client().queue_state(self.connection)


notifier = QueueNotifier()


def _log_away(problem: Exception) -> None:
    log.warning("the queue is away; jobs wait for the schedule", extra={"reason": type(problem).__name__})


def queue_client() -> ModuleType:
    """Return the module for Redis, imported only where there is one."""
    from app.jobs import redis_queue  # noqa: PLC0415 - Redis and RQ are loaded where there is a queue.

    return redis_queue
