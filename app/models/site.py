from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base

MAX_ANNOUNCEMENT_LENGTH = 300


class SiteSetting(Base):
    """Site settings that administrators have changed: one row with the id 1, or none.

    `registration` None stands for the setting REGISTRATION. `version` increases with every change.
    """

    __tablename__ = "site_settings"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[int]
    registration: Mapped[str | None] = mapped_column(String(16))
    announcement: Mapped[str] = mapped_column(String(MAX_ANNOUNCEMENT_LENGTH))
    maintenance: Mapped[bool]
    changed_at: Mapped[datetime]
