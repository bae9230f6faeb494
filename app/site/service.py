"""Site settings that administrators change while the site runs."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

from sqlalchemy import select

from app.audit.services.log import AuditLog
from app.core.dialects import upsert
from app.core.lookups import Lookup, Source
from app.core.service import Service
from app.site.models import SiteSetting

THE_ONE = 1


@dataclass(frozen=True, slots=True)
class Site:
    """Site settings. `registration` None means the setting REGISTRATION; `version` 0 means never changed."""

    version: int = 0
    registration: str | None = None
    announcement: str = ""
    maintenance: bool = False


@dataclass(frozen=True, slots=True)
class Brand:
    """How the site looks; empty values are not set. `logo_digest` is the SHA-256 of the logo."""

    name: str = ""
    accent_color: str = ""
    support_email: str = ""
    logo_digest: str = ""


def _columns(names: Iterable[str]) -> Lookup:
    columns = SiteSetting.__table__.c
    return Lookup(select(*(columns[name] for name in names)).where(columns.id == THE_ONE))


_SITE, _BRAND = _columns(field.name for field in fields(Site)), _columns(field.name for field in fields(Brand))


class SiteSettings(Service):
    source: Source
    audit: AuditLog

    def get(self) -> Site:
        row = _SITE.first(self.source)
        return Site(*row) if row else Site()

    def get_brand(self) -> Brand:
        row = _BRAND.first(self.source)
        return Brand(*(value or "" for value in row)) if row else Brand()

    def get_logo(self) -> bytes | None:
        """Return the logo, a PNG file."""
        return self.session.scalar(select(SiteSetting.logo).where(SiteSetting.id == THE_ONE))

    def change(self, **values: Any) -> None:
        """Change some fields of Site and Brand."""
        changed = self._differing(values)
        if changed:
            self._store(changed)
            self.audit.record("site.changed", subject_id=None, **changed)

    def change_logo(self, logo: bytes | None) -> None:
        """Replace the logo, a PNG file, or remove it."""
        digest = hashlib.sha256(logo).hexdigest() if logo else ""
        if self._differing({"logo_digest": digest}):
            self._store({"logo_digest": digest, "logo": logo})
            self.audit.record("site.changed", subject_id=None, logo="changed" if logo else "removed")

    def _differing(self, values: dict[str, Any]) -> dict[str, Any]:
        before = asdict(self.get()) | asdict(self.get_brand())
        return {name: value for name, value in values.items() if before[name] != value}

    def _store(self, changed: dict[str, Any]) -> None:
        row, changed_at = upsert(self.session, SiteSetting), self.clock()
        self.session.execute(
            row.on_conflict_do_update(
                index_elements=[SiteSetting.id],
                set_={"version": SiteSetting.version + 1, "changed_at": changed_at, **changed},
            ),
            asdict(Site()) | changed | {"id": THE_ONE, "version": 1, "changed_at": changed_at},
        )
