"""Rows to predictions."""
