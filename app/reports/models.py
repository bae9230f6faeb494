from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from app.core.models import OWN_DATA, Base


class ReportSubscriber(Base):
    """A user who gets the weekly report, as long as they can view reports."""

    __tablename__ = "report_subscribers"
    __table_args__ = ({"info": {OWN_DATA: None}},)

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    created_at: Mapped[datetime]
