"""Set up the environment and the servers that tests need."""
