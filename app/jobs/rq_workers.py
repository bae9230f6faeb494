"""The processes of `flask jobs worker`: RQ workers, which run jobs in their own process, and the schedule."""

import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

from flask import Flask, g
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker
from rq.exceptions import DeserializationError, StopRequested
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker import WorkerStatus

from app.core.extensions import settings
from app.core.metrics import metrics
from app.core.models import MAX_ID
from app.core.patience import OF_JOBS, be_patient
from app.jobs.redis_queue import MAX_JOB_SECONDS, PERFORM, WORKER_TTL_SECONDS
from app.jobs.schedule import run_schedule
from app.jobs.tasks import BULK, QUEUES
from app.jobs.worker import perform

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 1.0
STOPS = {signal.SIGINT, signal.SIGTERM}
HANDLED = {*STOPS, signal.SIGHUP, signal.SIGCHLD, signal.SIGALRM}
RESTART_SECONDS = 1.0


class OurJob(Job):
    """A job that only runs our function: of its data in Redis, only one integer is used.

    RQ would import and call any name it finds there, including callbacks, and send requests anywhere (webhooks), so
    anyone who can write to Redis could run code here.
    """

    def restore(self, raw_data: Any) -> None:
        super().restore(raw_data)
        self._success_callback_name = self._failure_callback_name = self._stopped_callback_name = None
        self.webhooks = []
        self.timeout, self.result_ttl, self.failure_ttl = MAX_JOB_SECONDS, 0, 0
        self.retries_left = self.repeats_left = None

    def perform(self) -> None:
        job_id = self._read_job_id()
        if job_id is None:
            log.warning("dropped what was no job of ours", extra={"rq_id": self.id[:64]})
            return
        perform(job_id)

    def _read_job_id(self) -> int | None:
        try:
            call = self.func_name, self.instance, self.kwargs, list(self.args)
        except (DeserializationError, TypeError):
            return None
        match call:
            case [name, None, {**none}, [int() as job_id]] if name == PERFORM and not none and 0 < job_id <= MAX_ID:
                return None if isinstance(job_id, bool) else job_id
        return None


class Worker(SimpleWorker):
    """Runs jobs in its own process, one application context each.

    Its state and heartbeat go to Redis once a second at most: RQ writes them around every job, which costs as much as
    a short job itself.
    """

    app: Flask
    max_connection_wait_time = 2.0
    _beat_at = float("-inf")
    _told_at = float("-inf")

    def perform_job(self, job: Job, queue: Queue, execution: Any) -> bool:
        with self.app.app_context():
            g.stops = lambda: self._stop_requested
            be_patient(OF_JOBS)
            return bool(super().perform_job(job, queue, execution))

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        if pipeline is not None or time.monotonic() - self._beat_at >= HEARTBEAT_SECONDS:
            self._beat_at = time.monotonic()
            super().heartbeat(timeout, pipeline)

    def set_state(self, state: str, pipeline: Any = None) -> None:
        self._state = state  # A stop reads this, so it is always current; the state in Redis may be a second old.
        if state == WorkerStatus.IDLE and self._stop_requested:
            raise StopRequested  # It came when RQ's loop had looked for it already, and would wait for a job first.
        if time.monotonic() - self._told_at >= HEARTBEAT_SECONDS:
            self._told_at = time.monotonic()
            super().set_state(state, pipeline)

    def check_for_suspension(self, burst: bool) -> None:
        """Do nothing: operators stop workers instead of suspending them."""

    def subscribe(self) -> None:
        """Do nothing: without RQ's commands there is no second thread, and a signal always interrupts the main one."""


class Pool:
    """The parent of the workers and the schedule: it forks them and restarts each that ends, until it stops.

    With two or more workers, one does not run bulk jobs, so that urgent emails never wait for them. Nothing is open
    here when it forks: no connection, no client and no other thread.
    """

    def __init__(self, app: Flask, *, url: str, processes: int, schedule: bool, burst: bool) -> None:
        self._app = app
        self._url = url
        self._burst = burst
        without_bulk = [queue for queue in QUEUES if queue != BULK]
        self._parts: dict[str, Callable[[], None]] = {
            f"worker {number}": partial(self._work, without_bulk if number == 2 else [*QUEUES])
            for number in range(1, processes + 1)
        }
        if schedule and not burst:
            self._parts["schedule"] = partial(run_schedule, app)
        self._running: dict[int, str] = {}
        self._is_stopping = False
        self._starts_anew = False

    def run(self) -> bool:
        """Run until TERM or INT; returns whether HUP requested a restart with new code."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # One that is ignored might not be waited for.
        gc.collect()
        gc.freeze()  # Collections leave these objects alone, so their memory stays shared.
        log.info("the workers have started", extra={"processes": len(self._parts), "release": self._release()})
        try:
            for name in self._parts:
                self._start(name)
            while self._running or not (self._is_stopping or self._burst):
                self._handle(signal.sigwait(HANDLED))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            if not self._starts_anew:  # A second TERM must not kill this process as it ends.
                for number in STOPS:
                    signal.signal(number, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            log.info("the workers have stopped")
        return self._starts_anew

    def _release(self) -> str:
        with self._app.app_context():
            return settings().release

    def _handle(self, number: int) -> None:
        if number == signal.SIGCHLD:
            self._reap()
        elif number == signal.SIGALRM:
            for name in self._parts.keys() - set(self._running.values()):
                self._start(name)
        else:
            self._starts_anew = number == signal.SIGHUP
            self._is_stopping = True
            for pid in self._running:
                os.kill(pid, signal.SIGTERM)

    def _reap(self) -> None:
        for pid in [*self._running]:
            if os.waitpid(pid, os.WNOHANG)[0]:
                del self._running[pid]
        if len(self._running) < len(self._parts) and not (self._is_stopping or self._burst):
            signal.setitimer(signal.ITIMER_REAL, RESTART_SECONDS)

    def _start(self, name: str) -> None:
        if self._is_stopping:
            return
        pid = os.fork()
        if pid:
            self._running[pid] = name
            return
        code = 1
        try:
            self._begin()
            self._parts[name]()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except RedisError as problem:
            log.warning("the queue is away; the worker tries again", extra={"reason": type(problem).__name__})
        except Exception:
            log.exception("a worker has failed")
        finally:
            os._exit(code)

    def _begin(self) -> None:
        """Reset signal handlers in the new process until a worker or the schedule sets its own."""
        for number in STOPS:
            signal.signal(number, lambda *_: sys.exit(0))
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
        with self._app.app_context():
            metrics.begin(settings().metrics_folder)

    def _work(self, queues: list[str]) -> None:
        connection = blocking_connection(self._url)
        worker = Worker(
            [Queue(queue, connection=connection, serializer=JSONSerializer, job_class=OurJob) for queue in queues],
            name=uuid4().hex,
            connection=connection,
            serializer=JSONSerializer,
            job_class=OurJob,
            worker_ttl=WORKER_TTL_SECONDS,
        )
        worker.app = self._app
        worker.work(burst=self._burst, logging_level="WARNING", with_scheduler=False)


def blocking_connection(url: str) -> Redis:
    """Return a client that can wait for work longer than for a response."""
    # Only a network can lose its peer silently; the client of a Unix socket does not have the option.
    keeps_alive = {} if url.startswith("unix") else {"socket_keepalive": True}
    return Redis.from_url(url, socket_connect_timeout=2, **keeps_alive)
