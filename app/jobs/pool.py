"""RQ's workers, running jobs in their own process and an application context, with little idle work."""

from __future__ import annotations

import logging
import signal
import sys
import time
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from signal import pthread_sigmask
from typing import Any
from uuid import uuid4

from flask import Flask, g
from redis import Redis
from rq import Queue, SimpleWorker
from rq.exceptions import DeserializationError
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker_pool import WorkerData, WorkerPool

from app.extensions import db, settings
from app.jobs.worker import perform
from app.metrics import metrics
from app.queue import LONGEST_JOB_SECONDS, PERFORM, connect
from app.tasks import BULK, QUEUES

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 1.0
LARGEST_ID = 2**63 - 1
STOPS = {signal.SIGINT, signal.SIGTERM}


class OurJob(Job):
    """A job that only runs our function: of the data in Redis, only one whole number is used.

    RQ would import and call whatever name it finds there, callbacks included, and send requests anywhere (webhooks); so
    whoever can write to Redis could run anything here.
    """

    def restore(self, raw_data: Any) -> None:
        super().restore(raw_data)
        self._success_callback_name = self._failure_callback_name = self._stopped_callback_name = None
        self.webhooks = []
        self.timeout, self.result_ttl, self.failure_ttl = LONGEST_JOB_SECONDS, 0, 0
        self.retries_left = self.repeats_left = None

    def perform(self) -> None:
        job_id = self._asked_for()
        if job_id is None:
            log.warning("dropped what was no job of ours", extra={"rq_id": self.id[:64]})
            return
        perform(job_id)

    def _asked_for(self) -> int | None:
        try:
            asked = self.func_name, self.instance, self.kwargs, list(self.args)
        except (DeserializationError, TypeError):
            return None
        match asked:
            case [name, None, {**none}, [int() as job_id]] if name == PERFORM and not none and 0 < job_id <= LARGEST_ID:
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
            return bool(super().perform_job(job, queue, execution))

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        if pipeline is not None or time.monotonic() - self._beat_at >= HEARTBEAT_SECONDS:
            self._beat_at = time.monotonic()
            super().heartbeat(timeout, pipeline)

    def set_state(self, state: str, pipeline: Any = None) -> None:
        self._state = state  # A stop reads this, so it is always current; the state in Redis may be a second old.
        if time.monotonic() - self._told_at >= HEARTBEAT_SECONDS:
            self._told_at = time.monotonic()
            super().set_state(state, pipeline)

    def check_for_suspension(self, burst: bool) -> None:
        """Suspending is not used: operators stop workers, and the job queue keeps the jobs."""


class Pool(WorkerPool):
    """Several workers. With two or more, one does not take bulk jobs, so urgent mail never waits behind them."""

    def __init__(self, app: Flask, *, url: str, processes: int) -> None:
        super().__init__(list(QUEUES), connection=connect(url), num_workers=processes, worker_class=Worker)
        self._app = app
        self._url = url

    def start_worker(
        self, count: int | None = None, burst: bool = True, _sleep: float = 0, logging_level: str = "INFO"
    ) -> None:
        """Start one worker process, without the scheduler that RQ's own pool starts in each."""
        name = uuid4().hex
        taken = {data.process.name for data in self.worker_dict.values()}
        leaves_bulk = self.num_workers > 1 and "urgent worker" not in taken
        queues = [queue for queue in QUEUES if not (leaves_bulk and queue == BULK)]
        process: BaseProcess = get_context("fork").Process(
            target=run_worker,
            args=(self._app, self._url, queues, name, burst),
            name="urgent worker" if leaves_bulk else "worker",
        )
        # A signal before the handlers are installed must stop it too, without output.
        pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:
            process.start()
        finally:
            pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        self.worker_dict[name] = WorkerData(name=name, pid=process.pid or 0, process=process)


def run_worker(app: Flask, url: str, queues: list[str], name: str, burst: bool) -> None:
    """The main function of a worker process: its own connections, RQ's loop. On TERM it finishes the current job."""
    for each in STOPS:
        signal.signal(each, lambda *_: sys.exit(0))  # Until RQ's own handlers take over.
    pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    with app.app_context():
        db.engine.dispose(close=False)
        metrics.begin(settings().metrics_folder)
    connection = blocking_connection(url)
    worker = Worker(
        [Queue(queue, connection=connection, serializer=JSONSerializer, job_class=OurJob) for queue in queues],
        name=name,
        connection=connection,
        serializer=JSONSerializer,
        job_class=OurJob,
    )
    worker.app = app
    worker.work(burst=burst, logging_level="WARNING", with_scheduler=False)


def blocking_connection(url: str) -> Redis:
    """A client that may wait for work longer than for an answer."""
    # Only a network can lose its peer silently; the client of a Unix socket does not have the option.
    keeps_alive = {} if url.startswith("unix") else {"socket_keepalive": True}
    return Redis.from_url(url, socket_connect_timeout=2, **keeps_alive)
