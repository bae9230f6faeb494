"""Demo data of any size."""
