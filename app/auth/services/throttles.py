"""Counters of wrong passwords in the database: growing delays instead of locked accounts."""

import math
from datetime import timedelta

from sqlalchemy import select, update

from app.auth.models import Throttle
from app.core import errors
from app.core.dialects import upsert
from app.core.lifetimes import Lifetimes
from app.core.service import Service
from app.core.tokens import token_hash

FAILURES_FORGOTTEN_AFTER = timedelta(hours=24)


class Throttles(Service):
    """A try is counted before the password is checked, and refunded when it was right.

    So simultaneous tries are all counted, not only finished ones.
    """

    lifetimes: Lifetimes

    def charge(self, key: str, *, user_id: int | None) -> Throttle:
        """Count a try under `key`. Raises TooManyTries while the key waits."""
        throttle = self._row(token_hash(key), user_id)
        now = self.clock()
        if throttle.is_blocked(now):
            raise errors.TooManyTries(retry_after=max(1, math.ceil((throttle.blocked_until - now).total_seconds())))
        throttle.fail(
            at=now,
            free_tries=self.lifetimes.sign_in_free_tries,
            longest=timedelta(minutes=self.lifetimes.sign_in_delay_max_minutes),
            forget_after=FAILURES_FORGOTTEN_AFTER,
        )
        self.session.flush()
        return throttle

    def refund(self, throttle_id: int) -> None:
        """Refund one attempt after a correct password. The failures of others stay."""
        now = self.clock()
        self.session.execute(
            update(Throttle)
            .where(Throttle.id == throttle_id, Throttle.failures > 0)
            .values(failures=Throttle.failures - 1, blocked_until=now)
            .execution_options(synchronize_session=False)
        )

    def failures(self, throttle_id: int) -> int:
        return self.session.scalar(select(Throttle.failures).where(Throttle.id == throttle_id)) or 0

    def _row(self, key: str, user_id: int | None) -> Throttle:
        find = select(Throttle).where(Throttle.key == key).with_for_update()
        throttle = self.session.scalar(find)
        if throttle is None:
            now = self.clock()
            values = {"key": key, "user_id": user_id, "failures": 0, "last_failed_at": now, "blocked_until": now}
            self.session.execute(upsert(self.session, Throttle).values(values).on_conflict_do_nothing())
            throttle = self.session.scalars(find).one()
        return throttle
