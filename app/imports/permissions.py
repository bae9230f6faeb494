from app.users.permissions import permission

USERS_IMPORT = permission("users:import", "Import users from a file, up to your own permissions.")
USERS_EXPORT = permission("users:export", "Export users.")
