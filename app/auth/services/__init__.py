"""Rules of sign-up, sign-in, sessions, passwords, factors and links."""
