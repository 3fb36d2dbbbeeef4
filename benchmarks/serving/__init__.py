"""Serving side by side with other servers. `python -m benchmarks.serving --help` says how."""
