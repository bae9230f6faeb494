"""Entry point: the functions that workers run, and the workers' own commands."""
