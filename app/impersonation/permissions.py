from app.users.permissions import permission

USERS_IMPERSONATE = permission("users:impersonate", "Impersonate users for a limited time.")
