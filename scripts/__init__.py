"""What a person runs: set up, start, look, stop, check, and the demo data."""
