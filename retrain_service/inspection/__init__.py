"""Explain to a person what a configured stream holds, what is wrong with it, and what mends it."""
