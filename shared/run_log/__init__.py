"""Runs and events in SQLite: written by the retrain daemon, read by both."""
