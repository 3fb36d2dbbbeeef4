"""Leave personal columns out of logged requests and answers, or replace them by hashes.

A column is a key at any depth of the JSON. Knows no model and no workload.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any

import msgspec

_PURPOSE = b"prediction log"


class Masking:
    """What happens to columns on their way into the log.

    Args:
        left_out, hashed: names of columns.
        secret: what hashes are made with; without it, hashed columns are left out as well.
    """

    def __init__(
        self, left_out: Collection[str], hashed: Collection[str], secret: bytes | None
    ) -> None:
        self._left_out = frozenset(left_out) if secret else frozenset({*left_out, *hashed})
        self._hashed = frozenset(hashed)
        self._secret = secret or b""
        self.changes_nothing = not self._left_out and not self._hashed

    def of_json(self, content: bytes) -> bytes:
        """The JSON as it is logged."""
        if self.changes_nothing:
            return content
        return msgspec.json.encode(self._masked(msgspec.json.decode(content)))

    def hash_of(self, value: object) -> str:
        """The same for the same text or number, and different in another home."""
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        key = hashlib.blake2b(self._secret, digest_size=32, person=_PURPOSE).digest()
        return "#" + hashlib.blake2b(text.encode(), digest_size=16, key=key).hexdigest()

    def _masked(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._masked(one) for one in value]
        if not isinstance(value, dict):
            return value
        return {
            name: (self._hashed_value(one) if name in self._hashed else self._masked(one))
            for name, one in value.items()
            if name not in self._left_out
        }

    def _hashed_value(self, value: Any) -> Any:
        if isinstance(value, list):  # of ids
            return [self._hashed_value(one) for one in value]
        return None if value is None else self.hash_of(value)
