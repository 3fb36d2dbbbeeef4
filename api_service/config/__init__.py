"""What a worker is told, cut out of the settings."""
