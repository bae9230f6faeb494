from app.users.permissions import permission

USERS_RESET_FACTORS = permission("users:reset-factors", "Reset the second factors of users who lost them.")
