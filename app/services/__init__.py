"""The services: plain classes that receive a session and their dependencies. They flush, but never commit."""
