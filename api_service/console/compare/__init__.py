"""Compare two versions of a model on one page."""
