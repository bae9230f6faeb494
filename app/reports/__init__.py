"""Statistics of sign-ups, sign-ins and active users, on a page and by weekly email."""
