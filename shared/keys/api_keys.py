"""Change the key files: list, add, replace, take back. For commands; daemons only read them.

A key is named by the beginning of its SHA-256, so that it can be spoken of without being told.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from pathlib import Path

from shared.atomic_file import write_atomic
from shared.errors import KeyUnusable, NotFound
from shared.keys.signing import Role

ID_LENGTH = 12


@dataclass(frozen=True, slots=True)
class KnownKey:
    role: Role
    key_id: str
    path: Path


def key_id(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()[:ID_LENGTH]


def list_keys(keys_dir: Path) -> list[KnownKey]:
    """Every key in the files, by role; not HOTFIT_API_KEY, which is the environment's.

    Raises:
        KeyUnusable: a key file exists but cannot be read.
    """
    return [
        KnownKey(role, key_id(secret), _path(keys_dir, role))
        for role in Role
        for secret in _secrets(keys_dir, role)
    ]


def add_key(keys_dir: Path, role: Role) -> str:
    """Make a key that is valid beside the others; its secret."""
    secret = _new_secret(role)
    _write(keys_dir, role, [*_secrets(keys_dir, role), secret])
    return secret


def rotate_keys(keys_dir: Path, role: Role) -> str:
    """Make a key that replaces all others of the role; its secret."""
    secret = _new_secret(role)
    _write(keys_dir, role, [secret])
    return secret


def revoke_key(keys_dir: Path, wanted: str) -> KnownKey:
    """Take the key with that id out of its file.

    Raises:
        NotFound: no key has that id.
    """
    for key in list_keys(keys_dir):
        if key.key_id == wanted:
            left = [secret for secret in _secrets(keys_dir, key.role) if key_id(secret) != wanted]
            _write(keys_dir, key.role, left)
            return key
    raise NotFound(f"no key has the id {wanted!r}; `keys list` shows them.")


def _new_secret(role: Role) -> str:
    return f"hotfit_{role}_{secrets.token_urlsafe(32)}"


def _path(keys_dir: Path, role: Role) -> Path:
    return keys_dir / f"{role}.key"


def _secrets(keys_dir: Path, role: Role) -> list[str]:
    path = _path(keys_dir, role)
    try:
        return path.read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise KeyUnusable(f"{path}: cannot be read: {error}.") from None


def _write(keys_dir: Path, role: Role, found: list[str]) -> None:
    # An empty file stays: without it the daemon would make a new key at its next start.
    write_atomic(_path(keys_dir, role), "".join(f"{key}\n" for key in found).encode(), mode=0o600)
