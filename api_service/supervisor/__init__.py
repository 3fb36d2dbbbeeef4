"""The main process: binds the port, starts workers, replaces the dead."""
