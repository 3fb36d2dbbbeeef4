"""Paths of ours as the client of the current request has them: below its proxy's prefix."""

from __future__ import annotations

from flask import has_request_context, request


def public_path(path: str) -> str:
    """A path of ours, with the prefix of a trusted proxy; as it is outside of a request."""
    return f"{request.script_root}{path}" if has_request_context() else path
