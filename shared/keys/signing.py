"""API keys and signing keys: create, store 0600, verify. Knows no route and no manifest.

API keys: `keys/<role>.key`, one key a line, so that an old and a new key can overlap while
clients change over. HOTFIT_API_KEY, when set, is an admin key and is looked at first.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared.atomic_file import make_directories, storage_errors, write_atomic
from shared.errors import KeyUnusable

SIGNING_KEY_NAME = "signing.key"
PUBLIC_KEY_NAME = "signing.pub"
CONSOLE_SECRET_NAME = "console.secret"  # noqa: S105 - a file name
KEY_VARIABLE = "HOTFIT_API_KEY"
KEY_ID_LENGTH = 12
_SECRET_BYTES = 32


class Role(StrEnum):
    """What a key may do; `admin` may do everything."""

    PREDICT = "predict"
    FEED = "feed"
    ADMIN = "admin"


class VerifyKey:
    """The public half: checks that a manifest was signed by the retrain daemon."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key
        raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.key_id = hashlib.sha256(raw).hexdigest()[:16]

    @classmethod
    def read(cls, path: Path) -> VerifyKey:
        """Read a PEM file.

        Raises:
            KeyUnusable: missing, unreadable, or not an Ed25519 public key.
        """
        try:
            key = serialization.load_pem_public_key(path.read_bytes())
        except FileNotFoundError:
            raise KeyUnusable(
                f"{path}: no public key; the retrain daemon writes it at its first start."
            ) from None
        except (OSError, ValueError, UnsupportedAlgorithm) as error:
            raise KeyUnusable(f"{path}: expected an Ed25519 public key in PEM: {error}.") from None
        if not isinstance(key, Ed25519PublicKey):
            raise KeyUnusable(
                f"{path}: expected an Ed25519 public key, found {type(key).__name__}."
            )
        return cls(key)

    def verify(self, signature: bytes, message: bytes) -> None:
        """Raises cryptography.exceptions.InvalidSignature when it does not hold."""
        self._key.verify(signature, message)


class SigningKey:
    """The private half; only the retrain daemon has it."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.verify_key = VerifyKey(key.public_key())
        self.key_id = self.verify_key.key_id

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)

    @classmethod
    def read(cls, keys_dir: Path) -> SigningKey:
        """Read `signing.key`.

        Raises:
            KeyUnusable: missing, unreadable, or not an Ed25519 private key.
        """
        path = keys_dir / SIGNING_KEY_NAME
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise KeyUnusable(f"{path}: expected an Ed25519 private key in PEM: {error}.") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyUnusable(f"{path}: expected an Ed25519 key, found {type(key).__name__}.")
        return cls(key)

    @classmethod
    def read_or_create(cls, keys_dir: Path) -> SigningKey:
        """Read `signing.key`, made at the first start, and keep `signing.pub` beside it.

        Raises:
            KeyUnusable: the file is there but is not a key, or it is gone while `signing.pub` is
                there; it is never made anew without being asked.
            StorageUnavailable: it cannot be written.
        """
        path, public_path = keys_dir / SIGNING_KEY_NAME, keys_dir / PUBLIC_KEY_NAME
        if not path.exists():
            if public_path.exists():
                raise KeyUnusable(signing_key_gone(path))
            return cls.create(keys_dir)
        key = cls.read(keys_dir)
        if public_path.exists() and public_path.read_bytes() != key._public_pem():
            write_atomic(public_path, key._public_pem())
        key.restore(keys_dir)
        return key

    @classmethod
    def create(cls, keys_dir: Path) -> SigningKey:
        """Make a new `signing.key` with its `signing.pub`, in the place of any that is there.

        Raises:
            StorageUnavailable: it cannot be written.
        """
        key = cls(Ed25519PrivateKey.generate())
        for name in (SIGNING_KEY_NAME, PUBLIC_KEY_NAME):
            (keys_dir / name).unlink(missing_ok=True)
        key.restore(keys_dir)
        return key

    def restore(self, keys_dir: Path) -> list[Path]:
        """Write `signing.key` and `signing.pub` again where they were removed.

        Returns:
            The files that were written.

        Raises:
            StorageUnavailable: they cannot be.
        """
        written = []
        path, public_path = keys_dir / SIGNING_KEY_NAME, keys_dir / PUBLIC_KEY_NAME
        with storage_errors(keys_dir):
            make_directories(keys_dir, 0o700)
        if not path.exists():
            pem = self._key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            write_atomic(path, pem, mode=0o600)
            written.append(path)
        if not public_path.exists():
            write_atomic(public_path, self._public_pem())
            written.append(public_path)
        return written

    def _public_pem(self) -> bytes:
        return self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )


def signing_key_gone(path: Path) -> str:
    """What to say where a new key would make every version there is unusable."""
    return (
        f"{path}: the key is gone with which the versions that are there were signed. Put it back"
        " from a backup; or `python -m retrain_service keys new-signing-key` makes another one:"
        " then no version there is can be served any more until its model is trained again."
    )


def ensure_api_keys(keys_dir: Path) -> list[Path]:
    """Make one key a role where there is none yet; return the files that were made."""
    made = []
    for role in Role:
        path = keys_dir / f"{role}.key"
        if not path.exists():
            write_atomic(path, f"hotfit_{role}_{secrets.token_urlsafe(32)}\n".encode(), mode=0o600)
            made.append(path)
    return made


def ensure_console_secret(keys_dir: Path) -> Path:
    """Make what the console's sessions are signed with, where there is none yet."""
    path = keys_dir / CONSOLE_SECRET_NAME
    if not path.exists():
        write_atomic(path, secrets.token_bytes(_SECRET_BYTES), mode=0o600)
    return path


def console_secret(keys_dir: Path) -> bytes:
    """What the console's sessions are signed with: the file, or what HOTFIT_API_KEY makes.

    Every process that has the same variable makes the same secret. Who sees a session can try
    words against it, as against any signature; scrypt makes each try dear.

    Raises:
        KeyUnusable: neither is there; the message says what to do.
    """
    path = keys_dir / CONSOLE_SECRET_NAME
    try:
        secret = path.read_bytes()
    except OSError:
        secret = b""
    if len(secret) >= _SECRET_BYTES:
        return secret
    if from_environment := os.environ.get(KEY_VARIABLE):
        return _stretched(from_environment)
    raise KeyUnusable(
        f"{keys_dir.name}/{CONSOLE_SECRET_NAME}: expected {_SECRET_BYTES} bytes to sign sessions"
        f" with, found {len(secret)}. Start the retrain daemon, which makes the file, or the API"
        f" with {KEY_VARIABLE}; until then nobody can sign in."
    )


@cache
def _stretched(key: str) -> bytes:
    salt = b"sessions of the hotfit console"
    return hashlib.scrypt(key.encode(), salt=salt, n=2**14, r=8, p=1, dklen=_SECRET_BYTES)


class ApiKeys:
    """The keys that are valid now. Any thread may ask; build a new one to reread the files."""

    def __init__(self, role_of_digest: Mapping[str, Role]) -> None:
        self._role_of_digest = dict(role_of_digest)

    def __len__(self) -> int:
        return len(self._role_of_digest)

    @classmethod
    def read(cls, keys_dir: Path) -> ApiKeys:
        """HOTFIT_API_KEY first, then the key files; files that do not exist are no keys.

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
        if from_environment := os.environ.get(KEY_VARIABLE):
            roles[_digest(from_environment)] = Role.ADMIN
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
