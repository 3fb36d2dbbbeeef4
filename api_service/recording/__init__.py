"""Records that clients send to the API."""
