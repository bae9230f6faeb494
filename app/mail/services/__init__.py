"""Rules of sent emails."""
