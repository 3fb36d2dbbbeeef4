"""Verdicts on a candidate: pure functions over scores."""
