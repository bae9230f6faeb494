"""The audit log: its events, the chain of hashes over them, search, and its pages."""
