"""The queue's client; a process without REDIS_URL never imports it, nor the libraries it needs."""

from __future__ import annotations

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from rq import Queue
from rq.serializers import JSONSerializer

from app.services.job_queue import DueJob

PERFORM = "app.jobs.worker.perform"
LONGEST_JOB_SECONDS = 15 * 60


def connect(url: str) -> Redis:
    """A client that fails at once when the server is away, instead of stalling a page."""
    return Redis.from_url(url, socket_connect_timeout=1, socket_timeout=2, retry=Retry(NoBackoff(), 0))


def queue_state(connection: Redis) -> str:
    """The state of the queue, tested by writing: a read-only or full server still answers PING."""
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
        PERFORM, args=(due.job_id,), timeout=LONGEST_JOB_SECONDS, result_ttl=0, failure_ttl=0
    )
