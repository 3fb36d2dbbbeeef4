"""Campaigns that try to break Hotfit, and count: `python -m tests.campaigns [--long]`."""
