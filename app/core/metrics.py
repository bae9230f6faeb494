"""Metrics for Prometheus (prometheus-client, multiprocess mode).

Web and worker processes count in their own files, and a request for metrics adds them up, so the counts of a process
stay when it dies, until the web server is restarted. Other processes (commands) count nothing. The files are mapped
into memory, and writing to them on a full disk would kill the process (SIGBUS), so they are in a file system in memory.
"""

from __future__ import annotations

import logging
import os
import re
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

log = logging.getLogger(__name__)

SIGN_INS = {
    "session.started": "success",
    "session.refused": "wrong_password",
    "session.refused_unverified": "unconfirmed_address",
}
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
JOB_SECONDS = (0.05, 0.25, 1, 5, 30, 120, 300)
LEFT = re.compile(r"_(\d+)\.db")


P = ParamSpec("P")


def _harmless(count: Callable[P, None]) -> Callable[P, None]:
    """Ignore errors of counting, for example a full disk when a new process needs a new file."""

    @wraps(count)
    def counted(*args: P.args, **kwargs: P.kwargs) -> None:
        with suppress(OSError):
            count(*args, **kwargs)

    return counted


@dataclass(frozen=True, slots=True)
class GaugeValue:
    """A gauge that is read on request: values by label; the label of a single value is ""."""

    name: str
    what: str
    values: Mapping[str, float]
    label: str = ""


class Metrics:
    """Counts from `begin` on; before, and in processes that never call it, every method does nothing."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._defined: _Defined | None = None

    def begin(self, folder: Path) -> None:
        """Count in `folder`, also in forked processes; if that fails, log it and continue without."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if folder.stat().st_uid != os.geteuid():
                raise PermissionError("it belongs to another user")
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
            self._folder, self._defined = folder, self._defined or _Defined()
        except OSError as problem:
            log.warning("requests and jobs are not counted", extra={"folder": str(folder), "reason": str(problem)})

    @staticmethod
    def sweep(folder: Path) -> None:
        """Forget the counts of processes that are gone. Called once, before the web starts."""
        for path in _files(folder):
            if not _is_alive(path):
                path.unlink(missing_ok=True)

    # ── counting ──

    @_harmless
    def request(self, *, method: str, route: str | None, status: int, seconds: float) -> None:
        if (defined := self._defined) is not None:
            labels = (method if method in METHODS else "other", route or "none")
            defined.requests.labels(*labels, str(status)).inc()
            defined.request_seconds.labels(*labels).observe(seconds)

    @_harmless
    def events(self, kinds: Counts[str]) -> None:
        """Count committed audit events by kind."""
        if (defined := self._defined) is not None:
            for kind, count in kinds.items():
                defined.events.labels(kind).inc(count)
                if kind in SIGN_INS:
                    defined.sign_ins.labels(SIGN_INS[kind]).inc(count)

    @_harmless
    def hashed(self, *, waited: float, took: float) -> None:
        """Record a password hash: seconds until a slot was free, and seconds of hashing."""
        if (defined := self._defined) is not None:
            defined.hash_wait.observe(waited)
            defined.hash_seconds.observe(took)

    @_harmless
    def job(self, *, task: str, outcome: str, seconds: float) -> None:
        """Record an attempt of a job."""
        if (defined := self._defined) is not None:
            defined.jobs.labels(task, outcome).inc()
            defined.job_seconds.labels(task).observe(seconds)

    @_harmless
    def cached(self, name: str, *, hit: bool) -> None:
        """Count a cache hit or miss."""
        if (defined := self._defined) is not None:
            defined.cache.labels(name, "hit" if hit else "miss").inc()

    @_harmless
    def connections(self, change: int) -> None:
        """Count a database connection that was taken from the pool (1) or returned (-1)."""
        if (defined := self._defined) is not None:
            defined.connections.inc(change)

    # ── reporting ──

    def text(self, gauges: Iterable[GaugeValue]) -> bytes:
        """Return all metrics in Prometheus' text format (version 0.0.4)."""
        from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 - only where it counts.
        from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead  # noqa: PLC0415 - only where it counts.

        registry = CollectorRegistry()
        if self._folder is not None:
            for path in _files(self._folder):
                if "_live" in path.name and not _is_alive(path):
                    mark_process_dead(_pid(path))  # type: ignore[no-untyped-call]
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        registry.register(_Readings(gauges))
        return generate_latest(registry)


class _Defined:
    """The metrics themselves, created once per process, after `begin`."""

    def __init__(self) -> None:
        from prometheus_client import Counter, Gauge, Histogram, values  # noqa: PLC0415 - only where it counts.

        # The library chose when it was imported, which may have been before `begin`.
        values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]
        own: dict[str, Any] = {"registry": None}
        self.requests = Counter(
            "gatehouse_http_requests", "Requests by route and status.", ["method", "route", "status"], **own
        )
        self.request_seconds = Histogram(
            "gatehouse_http_request_duration_seconds",
            "Seconds to answer a request.",
            ["method", "route"],
            buckets=SECONDS,
            **own,
        )
        self.sign_ins = Counter("gatehouse_sign_ins", "Sign-ins by outcome.", ["outcome"], **own)
        self.events = Counter("gatehouse_audit_events", "Audit events by kind.", ["kind"], **own)
        self.hash_seconds = Histogram(
            "gatehouse_password_hash_seconds", "Seconds of hashing a password.", buckets=SECONDS, **own
        )
        self.hash_wait = Histogram(
            "gatehouse_password_hash_wait_seconds", "Seconds until a hash could begin.", buckets=SECONDS, **own
        )
        self.jobs = Counter("gatehouse_jobs", "Tries of jobs by task and outcome.", ["task", "outcome"], **own)
        self.job_seconds = Histogram(
            "gatehouse_job_duration_seconds", "Seconds of a try of a job.", ["task"], buckets=JOB_SECONDS, **own
        )
        self.cache = Counter("gatehouse_cache_reads", "Looks into the cache, by result.", ["name", "result"], **own)
        self.connections = Gauge(
            "gatehouse_database_connections_in_use",
            "Database connections taken from the pools of all processes.",
            multiprocess_mode="livesum",
            **own,
        )


class _Readings:
    def __init__(self, gauges: Iterable[GaugeValue]) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415 - only where it counts.

        for gauge in self._gauges:
            family = GaugeMetricFamily(gauge.name, gauge.what, labels=[gauge.label] if gauge.label else None)
            for label, value in gauge.values.items():
                family.add_metric([label] if gauge.label else [], value)
            yield family


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.db") if LEFT.search(path.name)]


def _pid(path: Path) -> int:
    match = LEFT.search(path.name)
    return int(match[1]) if match else 0


def _is_alive(path: Path) -> bool:
    try:
        os.kill(_pid(path), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


metrics = Metrics()
