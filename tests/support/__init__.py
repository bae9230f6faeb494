"""Test support: real servers, a browser that checks every page, a mailbox, a clock."""
