"""A version on disk: its name, manifest and directory."""
