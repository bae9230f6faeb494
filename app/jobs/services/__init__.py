"""Rules of jobs and of the schedule."""
