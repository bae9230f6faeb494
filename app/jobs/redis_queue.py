"""The client of the job queue; processes without REDIS_URL never import it or its libraries."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from rq import Queue, Worker
from rq.job import Job
from rq.serializers import JSONSerializer

from app.jobs.services.queue import DueJob
from app.jobs.tasks import QUEUES

PERFORM = "app.jobs.worker.perform"
MAX_JOB_SECONDS = 15 * 60
LAST_ROUND = "gatehouse:schedule"
# An idle worker reports itself 15 seconds before this has passed; one that has not for longer counts as dead.
WORKER_TTL_SECONDS = 75
HEARD_WITHIN = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class SeenWorker:
    """A worker process as it last reported itself; `name` is what jobs call it (host:pid)."""

    name: str
    queues: tuple[str, ...]
    since: datetime | None
    seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class Workers:
    """The worker processes, and the last run of the schedule (None: none for a while)."""

    seen: tuple[SeenWorker, ...]
    last_run_at: datetime | None

    def list_alive(self, at: datetime, *, busy: Collection[str | None]) -> list[SeenWorker]:
        """Return workers that reported lately or hold a job: those in `busy` don't report meanwhile."""
        return [
            worker
            for worker in self.seen
            if worker.name in busy or (worker.seen_at and at - worker.seen_at < HEARD_WITHIN)
        ]


def queue_state(connection: Redis) -> str:
    """Return the state of the queue, tested by writing: a read-only or full server still answers PING."""
    try:
        if str(connection.info("cluster").get("cluster_enabled")) == "1":
            return "cluster"
        connection.set("gatehouse:probe", 1, ex=60)
    except (RedisConnectionError, RedisTimeoutError):
        return "missing"
    except RedisError:
        return "unwritable"
    return "ok"


def call_worker(connection: Redis, due: DueJob) -> None:
    """Push the id of the job for a worker to take. Raises RedisError."""
    Queue(due.queue, connection=connection, serializer=JSONSerializer).enqueue_call(
        PERFORM, args=(due.job_id,), timeout=MAX_JOB_SECONDS, result_ttl=0, failure_ttl=0
    )


def lengths(connection: Redis) -> dict[str, int]:
    """Return the number of notifications in each queue. Raises RedisError."""
    return {name: Queue(name, connection=connection).count for name in QUEUES}


def record_heartbeat(connection: Redis, *, at: datetime, lives: int) -> None:
    """Store when the schedule last ran, for `lives` seconds; nothing if the queue is away."""
    with suppress(RedisError):
        connection.set(LAST_ROUND, at.isoformat(), ex=lives)


def find_workers(connection: Redis) -> Workers | None:
    """Return the workers, or None if the queue is away. A killed worker is listed until RQ forgets it."""
    try:
        last_round = cast("bytes | None", connection.get(LAST_ROUND))
        workers = Worker.all(connection=connection, job_class=Job, serializer=JSONSerializer)
        last_run_at = datetime.fromisoformat(last_round.decode()) if last_round else None
    except (RedisError, ValueError):  # ValueError: another program has written there.
        return None
    seen = [
        SeenWorker(
            f"{worker.hostname}:{worker.pid}",
            tuple(worker.queue_names()),
            _in_utc(worker.birth_date),
            _in_utc(worker.last_heartbeat),
        )
        for worker in workers
    ]
    return Workers(tuple(sorted(seen, key=lambda worker: worker.name)), last_run_at)


def _in_utc(at: datetime | None) -> datetime | None:
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at
