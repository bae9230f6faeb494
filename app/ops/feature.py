from datetime import timedelta

from app.admin.notices import NoticeSource
from app.core.feature import Feature
from app.jobs.services.schedule import Entry
from app.ops import bp
from app.ops.notices import find_site_notices
from app.ops.tasks import PurgeExpired
from app.users.permissions import SITE_EDIT

feature = Feature(
    name="ops",
    blueprints=(bp,),
    commands={
        "backup": "app.ops.backup:backup",
        "restore": "app.ops.backup:restore",
        "db": "app.ops.migrations:migrations",
        "doctor": "app.ops.doctor:doctor",
        "maintenance": "app.ops.maintenance_commands:maintenance",
        "new": "app.dev.commands:new",
        "prepare": "app.ops.prepare:prepare",
        "why": "app.ops.why:why",
    },
    schedule=(Entry("purge-expired", PurgeExpired(), timedelta(hours=6)),),
    audit_texts={
        "site.restored": "Site restored from a backup.",
    },
    notices=(NoticeSource(SITE_EDIT, find_site_notices, place=10),),
)
