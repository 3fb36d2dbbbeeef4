"""Read a SQL table or view."""
