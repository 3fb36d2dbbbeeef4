"""Homes as each release wrote them; see README.md."""
