"""Subscriptions to the weekly report."""

from collections.abc import Sequence

from sqlalchemy import delete, select

from app.core.dialects import rowcount, upsert
from app.core.service import Service
from app.reports.models import ReportSubscriber
from app.reports.permissions import REPORTS_READ
from app.users.models import User
from app.users.permissions import permissions_of


class ReportSubscriptions(Service):
    def subscribe(self, user_id: int) -> None:
        row = {"user_id": user_id, "created_at": self.clock()}
        self.session.execute(upsert(self.session, ReportSubscriber).on_conflict_do_nothing(), row)

    def unsubscribe(self, user_id: int) -> bool:
        return rowcount(self.session, delete(ReportSubscriber).where(ReportSubscriber.user_id == user_id)) == 1

    def is_subscribed(self, user_id: int) -> bool:
        return self.session.get(ReportSubscriber, user_id) is not None

    def may_view(self, user: User) -> bool:
        """Return whether the user can view reports."""
        return REPORTS_READ in permissions_of(user.roles)

    def list_subscribers(self) -> Sequence[int]:
        return self.session.scalars(select(ReportSubscriber.user_id).order_by(ReportSubscriber.user_id)).all()
