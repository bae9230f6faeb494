"""The tables: plain SQLAlchemy with predicates and small verbs; no commits, no queries across tables."""

from app.models.audit import AuditDetail, AuditEvent
from app.models.base import Base
from app.models.job import OPEN, Job, JobState
from app.models.link import OneTimeLink, Purpose
from app.models.mail import MailStatus, SentMail
from app.models.role import ADMINISTRATOR, MEMBER, Role, user_roles
from app.models.session import Device, Session
from app.models.throttle import Throttle
from app.models.user import EmailChange, User

__all__ = [
    "ADMINISTRATOR",
    "MEMBER",
    "OPEN",
    "AuditDetail",
    "AuditEvent",
    "Base",
    "Device",
    "EmailChange",
    "Job",
    "JobState",
    "MailStatus",
    "OneTimeLink",
    "Purpose",
    "Role",
    "SentMail",
    "Session",
    "Throttle",
    "User",
    "user_roles",
]
