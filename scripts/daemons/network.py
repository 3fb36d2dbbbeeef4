"""Ports of this machine that nobody listens on, for servers that a test or a benchmark starts."""

from __future__ import annotations

import socket


def free_port() -> int:
    """A port that was free a moment ago, on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
