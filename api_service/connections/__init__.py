"""Connections of a worker: their number, deadlines, and how they end."""
