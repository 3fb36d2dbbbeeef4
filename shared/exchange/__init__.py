"""The small files that the daemons exchange, one file kind in each module."""
