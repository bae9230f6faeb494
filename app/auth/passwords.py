"""Password hashing with argon2id (RFC 9106) at OWASP's parameters, a bounded number at a time."""

import time
import unicodedata
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import IntEnum
from secrets import token_bytes
from threading import BoundedSemaphore
from typing import TypeVar

from argon2 import Parameters, PasswordHasher, Type, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import ARGON2_VERSION, hash_secret

from app.core import errors

T = TypeVar("T")


class PasswordMatch(IntEnum):
    """Only WRONG is false; with OUTDATED the password is right, and its hash should be renewed."""

    WRONG = 0
    OUTDATED = 1
    RIGHT = 2


class Passwords:
    """The password hasher: `memory_kib`, `time_cost` and `parallelism` are argon2's m, t and p; `at_once` limits one
    process.

    `observe` gets the seconds that each hash `waited` and `took`. A hash takes memory and a core: without the limit, a
    flood of sign-ins would exhaust both. Hashes have their own threads, because the C library keeps the memory of a
    hash for the thread that used it.
    """

    def __init__(
        self,
        *,
        memory_kib: int = 19456,
        time_cost: int = 2,
        parallelism: int = 1,
        at_once: int = 2,
        wait: float = 2,
        observe: Callable[..., None] = lambda **_: None,
    ) -> None:
        self._hasher = PasswordHasher(
            time_cost=time_cost, memory_cost=memory_kib, parallelism=parallelism, hash_len=32, salt_len=16, type=Type.ID
        )
        self._slots = BoundedSemaphore(at_once)
        self._threads = ThreadPoolExecutor(at_once, "argon2")
        self._wait = wait
        self._observe = observe
        self._dummy = _dummy_hash(self._hasher)

    def hash(self, password: str) -> str:
        """Return a PHC string. Raises Busy if no slot is free for `wait` seconds."""
        return self._in_turn(lambda: self._hasher.hash(_bytes(normalised(password))))

    def verify(self, hashed: str | None, password: str) -> PasswordMatch:
        """Return whether `password` is correct; without a hash it takes as long. Raises Busy.

        A hash of the password as it was typed, from before it was normalised, still verifies.
        """
        return self._in_turn(lambda: self._verdict(self._dummy if hashed is None else hashed, password))

    def derive(self, secrets: Sequence[str], *, like: str | None = None) -> list[str]:
        """Return PHC strings of several secrets under one salt: a new one, or parameters and salt of `like`. Raises
        Busy.

        Codes that are looked up by their hash need the same salt within their set.
        """
        if like is None:
            used, salt = extract_parameters(self._dummy), token_bytes(self._hasher.salt_len)
        else:
            used, salt = extract_parameters(like), _salt_of(like)
        return self._in_turn(lambda: [_derived(secret, salt, used) for secret in secrets])

    def _verdict(self, stored: str, password: str) -> PasswordMatch:
        if self._fits(stored, normalised(password)):
            return PasswordMatch.OUTDATED if self._hasher.check_needs_rehash(stored) else PasswordMatch.RIGHT
        if normalised(password) != password and self._fits(stored, password):
            return PasswordMatch.OUTDATED
        return PasswordMatch.WRONG

    def _fits(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, _bytes(password))
        except (VerificationError, InvalidHashError):
            return False

    def _in_turn(self, hashing: Callable[[], T]) -> T:
        requested_at = time.perf_counter()
        if not self._slots.acquire(timeout=self._wait):
            raise errors.Busy
        began = time.perf_counter()
        try:
            return self._threads.submit(hashing).result()
        finally:
            self._slots.release()
            self._observe(waited=began - requested_at, took=time.perf_counter() - began)


def normalised(password: str) -> str:
    """Return NFKC, so that a password is the same on every keyboard (NIST SP 800-63B-4, section 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


def _dummy_hash(hasher: PasswordHasher) -> str:
    """Return a PHC string that no password matches and that takes as long to verify as others of `hasher`."""
    salt, key = (b64encode(token_bytes(size)).decode().rstrip("=") for size in (hasher.salt_len, hasher.hash_len))
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v={ARGON2_VERSION}${cost}${salt}${key}"


def _salt_of(phc: str) -> bytes:
    text = phc.split("$")[4]
    return b64decode(text + "=" * (-len(text) % 4))


def _derived(secret: str, salt: bytes, used: Parameters) -> str:
    return hash_secret(
        _bytes(secret), salt, used.time_cost, used.memory_cost, used.parallelism, used.hash_len, used.type, used.version
    ).decode()


def _bytes(password: str) -> bytes:
    # A lone surrogate cannot be encoded; every entry point refuses it, and here it matches no hash.
    return password.encode("utf-8", "surrogatepass")
