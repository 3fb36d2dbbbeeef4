"""Read a MongoDB collection."""
