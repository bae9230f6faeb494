"""The site's name, look, sign-up and maintenance mode, set by administrators."""
