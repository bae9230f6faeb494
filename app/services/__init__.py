"""The rules: plain classes that receive a session and what they need. They flush, they never commit."""
