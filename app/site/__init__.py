"""What administrators set for the site, and its look; the page for it is a feature."""
