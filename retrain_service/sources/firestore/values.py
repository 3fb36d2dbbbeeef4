"""Convert Firestore's types to JSON values. Knows no query."""

from __future__ import annotations

from typing import Any

from google.cloud import firestore
from google.cloud.firestore_v1.vector import Vector


def from_firestore(value: Any) -> Any:
    """Firestore's own types as JSON values."""
    if isinstance(value, firestore.GeoPoint):
        return {"latitude": value.latitude, "longitude": value.longitude}
    if isinstance(value, Vector):
        return list(value)
    path = getattr(value, "path", None)
    if isinstance(path, str):  # a reference
        return {"id": path.rpartition("/")[2], "path": path}
    return str(value)
