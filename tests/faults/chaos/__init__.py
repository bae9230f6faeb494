"""Breaks a working deployment at random, mends it, and checks that nothing was lost and nothing done twice.

`make chaos` runs it for minutes, tests/faults/test_chaos.py for moments; docs/reliability.md says what was seen.
"""
