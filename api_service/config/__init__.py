"""Configuration of the serving processes, cut out of the settings."""
