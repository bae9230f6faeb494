"""`make bench`: this application beside bare Flask, raw argon2id and a bare RQ worker, on this machine, in one run."""
