"""Prepare the home directory: folders that only we can write, the signing key, the model store."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from shared.atomic_file import IS_WINDOWS, is_there, make_directories
from shared.errors import KeyUnusable
from shared.keys.signing import (
    PUBLIC_KEY_NAME,
    SIGNING_KEY_NAME,
    SigningKey,
    VerifyKey,
    signing_key_gone,
)
from shared.settings.root import Settings
from shared.versions.model_store import ModelStore

_WRITABLE_BY_OTHERS = 0o022


def make_home(settings: Settings) -> None:
    """Make what the daemon needs, with modes of its own whatever the umask is.

    What an earlier start made under a wide umask is closed, too: who can write below `models/`
    or `keys/` could put files in the place of others.
    """
    make_directories(settings.models_dir)
    make_directories(settings.requests_dir)
    make_directories(settings.keys_dir, 0o700)
    make_directories(settings.work_dir, 0o700)
    if IS_WINDOWS:  # rights are inherited there
        return
    for path in _places(settings.home):
        with contextlib.suppress(OSError):  # another user's, or gone
            mode = path.lstat().st_mode
            if mode & _WRITABLE_BY_OTHERS and not stat.S_ISLNK(mode):
                path.chmod(stat.S_IMODE(mode) & ~_WRITABLE_BY_OTHERS)


def signing_key(settings: Settings) -> SigningKey:
    """The key of this home, made where there is nothing yet that was signed.

    Raises:
        KeyUnusable: it is no key, or it is gone while there are versions.
        StorageUnavailable: it cannot be written.
    """
    path = settings.keys_dir / SIGNING_KEY_NAME
    if not is_there(path) and ModelStore(settings.models_dir).model_names():
        raise KeyUnusable(signing_key_gone(path))
    return SigningKey.read_or_create(settings.keys_dir)


def read_store(settings: Settings) -> ModelStore:
    """Versions and signals, for who only reads them."""
    return ModelStore(
        settings.models_dir, partial(VerifyKey.read, settings.keys_dir / PUBLIC_KEY_NAME)
    )


def _places(home: Path) -> Iterator[Path]:
    """The home, what lies in it, and the directories of models with the versions in them."""
    yield home
    yield from home.iterdir()
    yield from (home / "keys").glob("*")
    for depth in ("*", "*/*", "*/*/*", "*/*/*/*"):
        yield from (home / "models").glob(depth)
