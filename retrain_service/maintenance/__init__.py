"""Forget old things and back up."""
