"""Site settings that administrators change while the site runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session as DbSession

from app.models import SiteSetting
from app.services.audit import AuditLog
from app.services.dialects import upsert

THE_ONE = 1


@dataclass(frozen=True, slots=True)
class Site:
    """Site settings. `registration` None means the setting REGISTRATION; `version` 0 means never changed."""

    version: int = 0
    registration: str | None = None
    announcement: str = ""
    maintenance: bool = False


@dataclass(frozen=True, kw_only=True)
class SiteSettings:
    session: DbSession
    audit: AuditLog
    clock: Callable[[], datetime]

    def get(self) -> Site:
        row = self.session.execute(
            select(
                SiteSetting.version, SiteSetting.registration, SiteSetting.announcement, SiteSetting.maintenance
            ).where(SiteSetting.id == THE_ONE)
        ).first()
        return Site(*row) if row else Site()

    def change(self, **values: Any) -> Site:
        """Change some fields of a Site, and return all of it."""
        before = self.get()
        changed = {name: value for name, value in values.items() if getattr(before, name) != value}
        if not changed:
            return before
        fields = asdict(before) | changed
        row = upsert(self.session, SiteSetting)
        changed_at = self.clock()
        self.session.execute(
            row.on_conflict_do_update(
                index_elements=[SiteSetting.id],
                set_={"version": SiteSetting.version + 1, "changed_at": changed_at, **changed},
            ),
            {"id": THE_ONE, **fields, "version": 1, "changed_at": changed_at},
        )
        self.audit.record("site.changed", subject_id=None, **changed)
        return self.get()
