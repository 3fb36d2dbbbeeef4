"""Look at a database that nobody has described: which tables it has, and what they could be."""
