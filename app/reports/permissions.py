from app.users.permissions import permission

REPORTS_READ = permission("reports:read", "View reports and get them by email.")
