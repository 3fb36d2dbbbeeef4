"""What a team would write by hand for each server; each runs in that server's own environment."""
