"""Shared by the entry points: identity, access, errors, headers, forms, pages and redirects."""
