"""Counts of users, sign-ups, sign-ins and jobs, kept by a job."""
