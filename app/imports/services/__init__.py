"""Rules of user imports."""
