from datetime import timedelta

from app.api.tags import ApiTag
from app.audit.tasks import SealAuditEvents
from app.core.feature import Feature
from app.jobs.services.schedule import Entry
from app.users.permissions import AUDIT_READ
from app.web.navigation import AdminPage

feature = Feature(
    name="audit",
    commands={
        "audit": "app.audit.commands:audit",
    },
    admin_pages=(AdminPage(AUDIT_READ, "admin.audit", "Audit log", place=50),),
    schedule=(
        # It keeps the audit log from changes.
        Entry("seal-audit-events", SealAuditEvents(), timedelta(minutes=15), can_pause=False),
    ),
    audit_texts={
        "audit.exported": "Audit log exported.",
    },
    api_tags=(ApiTag("audit", "Events with their actor and affected user.", place=40),),
)
