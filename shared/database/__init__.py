"""One way to open, migrate and write a small SQL database."""
