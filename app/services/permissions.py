"""Permissions: each is declared once, in code, with a sentence for administrators."""

from __future__ import annotations

EVERYTHING = "*"
PERMISSIONS: dict[str, str] = {}


def permission(name: str, sentence: str) -> str:
    """Declare a permission, in the module of its feature. Raises ValueError for a second declaration."""
    if PERMISSIONS.get(name, sentence) != sentence:
        raise ValueError(f"the permission {name} is declared twice")
    PERMISSIONS[name] = sentence
    return name


def granted(held: list[str]) -> frozenset[str]:
    """The permissions of a role's stored list: `*` means all, and names that are no longer declared mean nothing."""
    return frozenset(PERMISSIONS) if EVERYTHING in held else frozenset(held) & PERMISSIONS.keys()


USERS_READ = permission("users:read", "See the list of users and each user's page.")
USERS_INVITE = permission("users:invite", "Invite people.")
USERS_EDIT = permission("users:edit", "Change other people's names and propose new addresses.")
USERS_DEACTIVATE = permission("users:deactivate", "Deactivate and reactivate accounts.")
USERS_DELETE = permission("users:delete", "Delete accounts.")
ROLES_ASSIGN = permission("roles:assign", "Give and take roles, none wider than one's own.")
