"""What all folders stand on: database, errors, metrics, principals; it imports only settings."""
