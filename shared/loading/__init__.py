"""Verify, open and check a version; the same code in the API and in the trial."""
