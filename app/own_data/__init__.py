"""Downloads of a user's data."""
