"""API keys: check a presented key; list, create, rotate and revoke keys in their files.

`keys/<role>.key` has one key a line, so that an old and a new key are valid while clients change
over. `own_key` is an admin key beside them. A key is named by the first digits of its SHA-256,
which reveal nothing. Commands change the files; daemons only read them.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from shared.atomic_file import is_there, write_atomic
from shared.errors import KeyUnusable, NotFound
from shared.plain_file import FileRefused, read_plain


@dataclass(frozen=True, slots=True)
class KnownKey:
    role: Role
    key_id: str
    path: Path


def list_keys(keys_dir: Path) -> list[KnownKey]:
    """Every key in the files, by role; not HOTFIT_API_KEY, which is the environment's.

    Raises:
        KeyUnusable: a key file exists but cannot be read.
    """
    return [
        KnownKey(role, key_id_of(secret), _path(keys_dir, role))
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
            left = [
                secret for secret in _secrets(keys_dir, key.role) if key_id_of(secret) != wanted
            ]
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


KEY_VARIABLE = "HOTFIT_API_KEY"
OTHER_KEY_VARIABLES = ("NORDIQ_API_KEY", "TFT_API_KEY")
KEY_FILE = ".nordiq_key"
"""Where an installation of the system that server metrics came from has its key."""
_MOST_KEY_BYTES = 10_000
KEY_ID_LENGTH = 12


class Role(StrEnum):
    """What a key may do; `admin` may do everything."""

    PREDICT = "predict"
    FEED = "feed"
    ADMIN = "admin"


def ensure_api_keys(keys_dir: Path) -> list[Path]:
    """Make one key a role where there is none yet; return the files that were made."""
    made = []
    for role in Role:
        path = _path(keys_dir, role)
        if not is_there(path):
            _write(keys_dir, role, [_new_secret(role)])
            made.append(path)
    return made


def own_key() -> str | None:
    """The first key of HOTFIT_API_KEY, NORDIQ_API_KEY, TFT_API_KEY and the file `.nordiq_key`.

    The file lies in the folder that the daemon works in. Blank ones are none.

    Raises:
        KeyUnusable: the file is there but cannot be read.
    """
    for name in (KEY_VARIABLE, *OTHER_KEY_VARIABLES):
        if found := os.environ.get(name, "").strip():
            return found
    try:
        content = read_plain(Path(KEY_FILE).absolute(), _MOST_KEY_BYTES)
        return content.decode("utf-8-sig").strip() or None
    except FileNotFoundError:
        return None
    except (FileRefused, OSError, UnicodeDecodeError) as error:
        raise KeyUnusable(f"{KEY_FILE}: cannot be read: {error}.") from None


class ApiKeys:
    """The keys that are valid now. Any thread may ask; build a new one to reread the files."""

    def __init__(self, role_of_digest: Mapping[str, Role]) -> None:
        self._role_of_digest = dict(role_of_digest)

    def __len__(self) -> int:
        return len(self._role_of_digest)

    @classmethod
    def read(cls, keys_dir: Path) -> ApiKeys:
        """`own_key` and the key files; files that do not exist are no keys.

        Raises:
            KeyUnusable: a key file exists but cannot be read.
        """
        roles: dict[str, Role] = {}
        for role in Role:
            path = keys_dir / f"{role}.key"
            try:
                lines = path.read_text(encoding="utf-8").split()
            except FileNotFoundError:
                continue
            except (OSError, UnicodeDecodeError) as error:
                raise KeyUnusable(f"{path}: cannot be read: {error}.") from None
            roles.update({_digest(line): role for line in lines})
        if (found := own_key()) is not None:
            roles[_digest(found)] = Role.ADMIN
        return cls(roles)

    def role_of(self, presented: str) -> Role | None:
        """The role of a key, or None; takes the same time for every wrong key."""
        digest = _digest(presented)
        found: Role | None = None
        for known, role in self._role_of_digest.items():
            if hmac.compare_digest(known, digest):
                found = role
        return found

    def role_of_id(self, key_id: str) -> Role | None:
        """The role of the key that has this id; None when it is valid no more."""
        found = (role for known, role in self._role_of_digest.items() if id_of(known) == key_id)
        return next(found, None)


def key_id_of(secret: str) -> str:
    """The beginning of a key's SHA-256, by which it is spoken of without being told."""
    return id_of(_digest(secret))


def id_of(digest: str) -> str:
    return digest[:KEY_ID_LENGTH]


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
