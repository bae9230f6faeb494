from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.models import Base


class Statistic(Base):
    """A count: of a day in the site's time zone (`2026-11-25`), or of an hour in UTC (`2026-11-25T14`)."""

    __tablename__ = "statistics"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    period: Mapped[str] = mapped_column(String(16), primary_key=True)
    value: Mapped[int]
