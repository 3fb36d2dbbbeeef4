"""When to train: pure decisions and the inbox of events."""
