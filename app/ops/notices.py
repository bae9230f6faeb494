"""What operators have to know."""

from collections.abc import Iterator

from flask import url_for

from app.admin.notices import Notice
from app.core.disk_space import list_full_disks
from app.core.extensions import features, settings
from app.core.migration_state import schema_state
from app.site.current import site
from app.unit_of_work import Work


def find_site_notices(_: Work) -> Iterator[Notice]:
    if site().maintenance:
        url = url_for("admin.site_settings") if "site_settings" in features().active else ""
        yield Notice("warning", "Maintenance mode is on. Only administrators can use the site.", url)
    if schema_state()[1] != "ok":
        yield Notice(
            "error", "The database and this release differ. Run `flask db upgrade`, or finish the upgrade.", ""
        )
    for folder, free in list_full_disks(settings()).items():
        yield Notice("error", f"Only {free // 2**20:,} MiB are left on the disk of {folder}.", "")
    if settings().is_live and not settings().mail_url.get_secret_value():
        yield Notice("error", "No mail server is set. Emails wait until MAIL_URL is.", "")
