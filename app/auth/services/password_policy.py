"""The password policy: length, estimated strength and (if enabled) lists of breached passwords."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from threading import Lock

from zxcvbn_rs_py import zxcvbn

from app.auth.passwords import Passwords, normalised
from app.core import errors

ESTIMATED = 32  # The estimate gets much slower with length; further characters only add strength.
ENOUGH = 3
_one_estimate = Lock()


@dataclass(frozen=True, slots=True)
class NewPassword:
    """A password that has passed the policy, hashed: the only type that services store."""

    hashed: str


@dataclass(frozen=True, slots=True)
class Strength:
    """`score` is 0 to 4 (zxcvbn's scale); `advice` is a sentence, empty if the score is enough."""

    score: int
    advice: str


@dataclass(frozen=True, kw_only=True)
class PasswordPolicy:
    """Passwords must not be based on `site_words` or on the user's own words.

    `is_breached` returns True, False, or None if it could not be checked.
    """

    passwords: Passwords
    min_length: int
    max_length: int
    site_words: Sequence[str]
    is_breached: Callable[[str], bool]

    def prepare(self, password: str, *, words: Iterable[str]) -> NewPassword:
        """Check and hash; call it with no transaction open. Raises WeakPassword with the reason, or Busy."""
        password = normalised(password)
        self.check_length(password)
        strength = self.estimate(password, words=words)
        if strength.score < ENOUGH:
            raise errors.WeakPassword(f"This password is too easy to guess. {strength.advice}")
        if self.is_breached(password):
            raise errors.WeakPassword("This password appears in a list of stolen passwords. Choose another.")
        return NewPassword(hashed=self.passwords.hash(password))

    def estimate(self, password: str, *, words: Iterable[str]) -> Strength:
        """Return how hard the password is to guess, for an attacker who knows the user and the site."""
        context = context_words([*words, *self.site_words])
        # Compatibility characters add no strength. One estimate at a time, because it blocks every thread.
        text = unicodedata.normalize("NFKC", _encodable(without(password, context)))[:ESTIMATED]
        with _one_estimate:
            result = zxcvbn(text, context)
        score = int(result.score)
        if score >= ENOUGH:
            return Strength(score, "")
        reasons = [str(result.feedback.warning)] if result.feedback and result.feedback.warning else []
        reasons += ["Use a few random words."]
        return Strength(score, " ".join(reasons))

    def check_length(self, password: str) -> None:
        """Raises WeakPassword."""
        if len(password) < self.min_length:
            raise errors.WeakPassword(f"Use at least {self.min_length} characters.")
        if len(password) > self.max_length:
            raise errors.WeakPassword(f"Use at most {self.max_length} characters.")
        if not _encodable(password) == password:
            raise errors.WeakPassword("Use characters you can type.")


def context_words(texts: Iterable[str]) -> list[str]:
    """Return the words of names, addresses and hosts with three letters or more, in lower case."""
    words = {part for text in texts for part in [text.casefold(), *re.split(r"[\W_]+", text.casefold())]}
    return sorted(word for word in words if len(word) >= 3)


def without(password: str, words: Iterable[str]) -> str:
    """Shorten each known word to one letter: 'gatehouse-gatehouse' becomes two letters and a dash.

    The estimate counts a known word as a cheap guess, but many of them in a row still add up.
    """
    for word in sorted(words, key=len, reverse=True):
        password = re.sub(re.escape(word), lambda match: match.group()[0], password, flags=re.IGNORECASE)
    return password


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
