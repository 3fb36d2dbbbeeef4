"""Create and read the secret that signs sessions of the console."""

from __future__ import annotations

import hashlib
import secrets
from functools import cache
from pathlib import Path

from shared.atomic_file import is_there, write_atomic
from shared.errors import KeyUnusable
from shared.keys.api_keys import KEY_VARIABLE, own_key
from shared.keys.signing import SECRET_BYTES

CONSOLE_SECRET_NAME = "console.secret"  # noqa: S105 - a file name


def ensure_console_secret(keys_dir: Path) -> Path:
    """Make what the console's sessions are signed with, where there is none yet."""
    path = keys_dir / CONSOLE_SECRET_NAME
    if not is_there(path):
        write_atomic(path, secrets.token_bytes(SECRET_BYTES), mode=0o600)
    return path


def console_secret(keys_dir: Path) -> bytes:
    """What the console's sessions are signed with: the file, or what `own_key` makes.

    Every process that has the same key makes the same secret. Who sees a session can try
    words against it, as against any signature; scrypt makes each try dear.

    Raises:
        KeyUnusable: neither is there; the message says what to do.
    """
    path = keys_dir / CONSOLE_SECRET_NAME
    try:
        secret = path.read_bytes()
    except OSError:
        secret = b""
    if len(secret) >= SECRET_BYTES:
        return secret
    if (found := own_key()) is not None:
        return _derive_secret(found)
    raise KeyUnusable(
        f"{keys_dir.name}/{CONSOLE_SECRET_NAME}: expected {SECRET_BYTES} bytes to sign sessions"
        f" with, found {len(secret)}. Start the retrain daemon, which makes the file, or the API"
        f" with {KEY_VARIABLE}; until then nobody can sign in."
    )


@cache
def _derive_secret(key: str) -> bytes:
    salt = b"sessions of the hotfit console"
    return hashlib.scrypt(key.encode(), salt=salt, n=2**14, r=8, p=1, dklen=SECRET_BYTES)
