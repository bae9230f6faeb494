"""Permissions, declared once in code with a sentence for administrators."""

from collections.abc import Iterable

from app.users.models import Role

EVERYTHING = "*"
PERMISSIONS: dict[str, str] = {}
# Headings of the groups whose name alone does not say what they are for.
HEADINGS = {"audit": "Audit log", "mail": "Emails", "site": "Site settings"}
# What the owner of a resource may do with it without holding the permission.
OF_OWNERS: set[str] = set()

# Scopes of API keys for the account of their owner, who needs no permission for them. Address, password, factors and
# keys are never open to a key.
ACCOUNT_READ, ACCOUNT_WRITE = "account:read", "account:write"
ACCOUNT_SCOPES = {
    ACCOUNT_READ: "View your profile, sessions, API keys and activity.",
    ACCOUNT_WRITE: "Change your name and end your sessions.",
}


def permission(name: str, sentence: str, *, owners: bool = False) -> str:
    """Declare a permission, in the module of its feature; its group is the part before the colon.

    With `owners`, the owner of a resource has it there. Raises ValueError for a second declaration.
    """
    if PERMISSIONS.get(name, sentence) != sentence:
        raise ValueError(f"the permission {name} is declared twice")
    PERMISSIONS[name] = sentence
    if owners:
        OF_OWNERS.add(name)
    return name


def forget_permissions(names: Iterable[str]) -> None:
    """Remove the permissions of a disabled feature: nobody has them, whatever roles say."""
    for name in names:
        PERMISSIONS.pop(name, None)
        OF_OWNERS.discard(name)


def granted(held: Iterable[str]) -> frozenset[str]:
    """Return the permissions of a role's stored list: `*` means all, undeclared names are ignored."""
    held = frozenset(held)
    return frozenset(PERMISSIONS) if EVERYTHING in held else held & PERMISSIONS.keys()


def permissions_of(roles: Iterable[Role]) -> frozenset[str]:
    """Return all permissions of these roles."""
    return frozenset().union(*(granted(role.permissions) for role in roles))


def by_group(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Group permissions and scopes by the part before the colon: {heading: {name: sentence}}."""
    groups: dict[str, dict[str, str]] = {}
    for name in sorted(names):
        group = name.partition(":")[0]
        groups.setdefault(HEADINGS.get(group, group.capitalize()), {})[name] = sentence_of(name)
    return groups


def sentence_of(name: str) -> str:
    """Return the sentence of a permission or scope."""
    return ACCOUNT_SCOPES.get(name) or PERMISSIONS[name]


def account_scope(action: str) -> str:
    """Return the scope that an API key needs to do `action`, a permission, in its owner's account."""
    return ACCOUNT_READ if action.endswith(":read") else ACCOUNT_WRITE


USERS_READ = permission("users:read", "View users.", owners=True)
USERS_INVITE = permission("users:invite", "Invite users.")
USERS_CREATE = permission("users:create", "Create users without asking them to confirm their email address.")
USERS_EDIT = permission("users:edit", "Change users' names and propose new email addresses.", owners=True)
USERS_DEACTIVATE = permission("users:deactivate", "Deactivate and reactivate users.")
USERS_SUPPORT = permission("users:support", "Send reset and confirmation links, and sign users out.")
USERS_DELETE = permission("users:delete", "Delete and restore users.")
AUDIT_READ = permission("audit:read", "View and export the audit log.")
ROLES_READ = permission("roles:read", "View roles and their permissions.")
ROLES_EDIT = permission("roles:edit", "Create, change and delete roles, up to your own permissions.")
ROLES_ASSIGN = permission("roles:assign", "Assign and remove roles, up to your own permissions.")
JOBS_READ = permission("jobs:read", "View jobs, the schedule and workers.")
JOBS_EDIT = permission("jobs:edit", "Retry, run and cancel jobs. Pause and resume the schedule.")
SITE_EDIT = permission("site:edit", "Change the site's name, look, sign-up, announcement and maintenance mode.")
MAIL_READ = permission("mail:read", "View sent emails and the mail server's answers.")
MAIL_EDIT = permission("mail:edit", "Resend emails and send samples to yourself.")
