"""Start, stop and show the daemons."""
