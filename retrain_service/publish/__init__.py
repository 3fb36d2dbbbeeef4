"""Stage a version, try it, and point the reload signal at it."""
