"""Task handlers, and the commands of the workers."""
