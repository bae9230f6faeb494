"""Values in Redis or Valkey, each with a MAC (HMAC-SHA-256 under SECRET_KEY), under a versioned prefix.

A miss computes the value, and so does any problem with the server: wiped, full, slow, absent or written to by others,
it costs time and never returns a wrong value.
"""

import json
import logging
import time
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

from flask import Flask, current_app

from app.core.extensions import settings
from app.core.metrics import metrics
from app.core.settings import CoreSettings
from app.core.tokens import is_same, keyed_hash

log = logging.getLogger(__name__)

PREFIX = "gatehouse:cache:1:"
# A page does not wait longer than this, and after trouble does not ask again for a while.
TIMEOUT_SECONDS = 0.25
PAUSE_SECONDS = 5.0
# For how long one process may compute alone, and others wait for it.
LOCK_SECONDS = 10
WAIT_SECONDS = 1.0

# Collected values expire if no job takes them.
COLLECTED_SECONDS = 3600
COLLECT = """
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if redis.call('TTL', KEYS[1]) < 0 then redis.call('EXPIRE', KEYS[1], ARGV[3]) end
return 1
"""
TAKE = """
local some = redis.call('HRANDFIELD', KEYS[1], ARGV[1], 'WITHVALUES')
for i = 1, #some, 2 do redis.call('HDEL', KEYS[1], some[i]) end
return some
"""


class Cache:
    def __init__(self) -> None:
        self._asks_again_at = 0.0

    def init_app(self, app: Flask, settings: CoreSettings) -> None:
        url = settings.queue_url
        app.extensions["cache"] = _redis_client().connect(url, timeout=TIMEOUT_SECONDS) if url else None

    def read_aside(self, name: str, compute: Callable[[], Any], *, seconds: int) -> Any:
        """Return the value under `name`, at most `seconds` old; on a miss one process computes it while others wait."""
        kept = self._find(name)
        metrics.cached(name.partition(":")[0], hit=kept is not None)
        if kept is not None:
            return kept["value"]
        lock = f"{PREFIX}{name}:lock"
        is_ours = bool(self._ask("SET", lock, "", "NX", "EX", LOCK_SECONDS))
        try:
            # Who had the lock before may have finished since we looked.
            kept = self._find(name) if is_ours else self._wait_for(name)
            if kept is not None:
                return kept["value"]
            value = compute()
            self._ask("SET", PREFIX + name, _signed(name, json.dumps({"value": value})), "EX", seconds)
            return value
        finally:
            if is_ours:
                self._ask("DEL", lock)

    def collect(self, name: str, key: str, value: str) -> bool:
        """Store the last value for `key` until it is taken, to be written with many others (write-behind).

        Returns whether it was stored: otherwise the caller writes it. Stored values can still be lost.
        """
        signed = _signed(f"{name}:{key}", value)
        return bool(self._ask("EVAL", COLLECT, 1, PREFIX + name, key, signed, COLLECTED_SECONDS))

    def take(self, name: str, *, at_most: int) -> dict[str, str | None]:
        """Take some collected values out, by their keys; None for values with a wrong MAC."""
        parts = [part.decode(errors="replace") for part in self._ask("EVAL", TAKE, 1, PREFIX + name, at_most) or ()]
        return {key: _opened(f"{name}:{key}", value) for key, value in zip(parts[::2], parts[1::2], strict=True)}

    def _find(self, name: str) -> dict[str, Any] | None:
        kept = self._ask("GET", PREFIX + name)
        text = _opened(name, kept.decode(errors="replace")) if kept else None
        return json.loads(text) if text else None

    def _wait_for(self, name: str) -> dict[str, Any] | None:
        """Return the value that another process is computing, or None if it takes too long or there is no cache."""
        deadline = time.monotonic() + WAIT_SECONDS
        kept = None
        while kept is None and self._answers() and time.monotonic() < deadline:
            time.sleep(WAIT_SECONDS / 20)
            kept = self._find(name)
        return kept

    def _answers(self) -> bool:
        return current_app.extensions["cache"] is not None and time.monotonic() >= self._asks_again_at

    def _ask(self, *command: Any) -> Any:
        connection = current_app.extensions["cache"]
        if not self._answers():
            return None
        try:
            return connection.execute_command(*command)
        except _redis_client().RedisError as problem:
            self._asks_again_at = time.monotonic() + PAUSE_SECONDS
            log.warning("the cache is away; values are computed", extra={"reason": type(problem).__name__})
            return None


def _redis_client() -> ModuleType:
    return import_module("app.core.redis_client")


def _signed(name: str, text: str) -> str:
    return f"{keyed_hash(settings().signing_keys[0], 'cached', name, text)}.{text}"


def _opened(name: str, signed: str) -> str | None:
    """Return the text if one of our keys signed it under this name."""
    mac, _, text = signed.partition(".")
    keys = settings().signing_keys
    return text if any(is_same(mac, keyed_hash(key, "cached", name, text)) for key in keys) else None


cache = Cache()
