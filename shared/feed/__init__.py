"""Records that clients send to the API, kept in SQLite."""
