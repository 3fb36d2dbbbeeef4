"""Routes that clients of earlier systems call."""
