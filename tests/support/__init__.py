"""What the tests stand on: real parts, a browser that checks every page it sees, a mailbox, a clock."""
