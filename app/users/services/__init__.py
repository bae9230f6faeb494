"""Rules of users, roles and permissions."""
