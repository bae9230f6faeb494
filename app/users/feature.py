from datetime import timedelta

from app.api.tags import ApiTag
from app.core.feature import Feature
from app.jobs.services.schedule import Entry
from app.users import bp
from app.users.parts import load_button
from app.users.permissions import ROLES_READ, USERS_READ
from app.users.tasks import EndExpiredSuspensions
from app.web.navigation import AdminPage
from app.web.parts import USERS_ACT, Part

feature = Feature(
    name="users",
    blueprints=(bp,),
    commands={
        "users": "app.users.commands:users",
        "roles": "app.users.role_commands:roles",
    },
    admin_pages=(
        AdminPage(USERS_READ, "users.index", "Users", place=10),
        AdminPage(ROLES_READ, "admin.roles", "Roles", place=40),
    ),
    schedule=(
        # It tells users who impersonated them.
        Entry("settle-accounts", EndExpiredSuspensions(), timedelta(minutes=5), can_pause=False),
    ),
    audit_texts={
        "access.refused": "Access denied: {permission} is required.",
        "grant.given": "Permission {permission} granted on {resource}.",
        "grant.taken": "Permission {permission} revoked on {resource}.",
        "role.assigned": "Role {role} assigned.",
        "role.changed": "Role {role} changed: {changes}.",
        "role.deleted": "Role {role} deleted.",
        "role.made": "Role {role} created: {changes}.",
        "role.unassigned": "Role {role} removed.",
        "user.activated": "Account reactivated.",
        "user.changed": "{field} changed from “{before}” to “{after}”.",
        "user.created": "Account created.",
        "user.deactivated": "Account deactivated: {reason}",
        "user.deleted": "Account deleted.",
        "user.erased": "Account permanently deleted.",
        "user.renamed": "Name changed from “{before}” to “{after}”.",
        "user.restored": "Account restored.",
    },
    parts=(Part(USERS_ACT, "users/_create_user.html", load_button, place=20),),
    expirations=(lambda work, at_most: work.users.process_expired(at_most=at_most),),
    api_tags=(
        ApiTag("users", "Your own account and, with permissions, other users.", place=20),
        ApiTag("roles", "Named sets of permissions.", place=70),
    ),
)
