"""Scores of candidate, champion and baseline: numbers only."""
