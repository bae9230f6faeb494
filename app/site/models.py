from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.lengths import MAX_ANNOUNCEMENT_LENGTH, MAX_SITE_NAME_LENGTH, STORED_ADDRESS_LENGTH
from app.core.models import Base


class SiteSetting(Base):
    """Site settings that administrators have changed: one row with the id 1, or none.

    None stands for the setting of the environment. `version` increases with every change.
    """

    __tablename__ = "site_settings"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[int]
    registration: Mapped[str | None] = mapped_column(String(16))
    announcement: Mapped[str] = mapped_column(String(MAX_ANNOUNCEMENT_LENGTH))
    maintenance: Mapped[bool]
    name: Mapped[str | None] = mapped_column(String(MAX_SITE_NAME_LENGTH), deferred=True)
    accent_color: Mapped[str | None] = mapped_column(String(7), deferred=True)
    support_email: Mapped[str | None] = mapped_column(String(STORED_ADDRESS_LENGTH), deferred=True)
    logo: Mapped[bytes | None] = mapped_column(deferred=True)  # A PNG file.
    logo_digest: Mapped[str | None] = mapped_column(String(64), deferred=True)
    changed_at: Mapped[datetime]
