"""Ed25519 signing keys: create, store with mode 0600, sign, verify. Knows no manifest.

The retrain daemon signs with the private key; every process verifies with the public one.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared.atomic_file import is_there, make_directories, storage_errors, write_atomic
from shared.errors import KeyUnusable, StorageUnavailable

SIGNING_KEY_NAME = "signing.key"
PUBLIC_KEY_NAME = "signing.pub"
SECRET_BYTES = 32


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
            KeyUnusable: missing, or not an Ed25519 private key.
            StorageUnavailable: the disk refuses to read it.
        """
        path = keys_dir / SIGNING_KEY_NAME
        try:
            pem = path.read_bytes()
        except FileNotFoundError:
            raise KeyUnusable(f"{path}: no signing key.") from None
        except OSError as error:
            raise StorageUnavailable(f"{path}: cannot be read: {error.strerror}.") from error
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
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
        if not is_there(path):
            if is_there(public_path):
                raise KeyUnusable(signing_key_gone(path))
            return cls.create(keys_dir)
        key = cls.read(keys_dir)
        if is_there(public_path) and public_path.read_bytes() != key._public_pem():
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
        if not is_there(path):
            pem = self._key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            write_atomic(path, pem, mode=0o600)
            written.append(path)
        if not is_there(public_path):
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
