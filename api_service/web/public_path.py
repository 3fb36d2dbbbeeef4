"""Translate our paths to the ones that the client of the current request sees behind a proxy."""

from __future__ import annotations

from flask import has_request_context, request


def public_path(path: str) -> str:
    """A path of ours, with the prefix of a trusted proxy; as it is outside of a request."""
    return f"{request.script_root}{path}" if has_request_context() else path
