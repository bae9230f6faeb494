"""Connections to Redis or Valkey; processes without REDIS_URL never import this module or its library."""

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

__all__ = ["RedisError", "connect"]


def connect(url: str, *, timeout: float = 2) -> Redis:
    """Create a client that fails at once when the server is unreachable, instead of stalling a page."""
    return Redis.from_url(
        url, socket_connect_timeout=min(1, timeout), socket_timeout=timeout, retry=Retry(NoBackoff(), 0)
    )
