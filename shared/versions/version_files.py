"""Read the files of one version; each is checked against its manifest's digest as it is read."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec

from shared.errors import DigestMismatch, ManifestInvalid, StorageUnavailable
from shared.plain_file import FileRefused, KnownFile

COMPILED_NAME = "compiled"


class FileEntry(msgspec.Struct, frozen=True):
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class VersionFiles:
    """Any thread may read. Names are POSIX paths below the directory.

    Each read proves anew that the bytes are those of the manifest, so that nothing is opened
    that was exchanged after it had been verified.
    """

    directory: Path
    version: str
    entries: Mapping[str, FileEntry]

    def known(self, name: str) -> KnownFile:
        """Where a file lies, and what its bytes must be.

        Raises:
            ManifestInvalid: it lies outside the version.
            DigestMismatch: the manifest names no such file.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise DigestMismatch(f"{self.version}: {name} is missing in the manifest")
        path = PurePosixPath(name)
        is_outside = path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name
        between = [self.directory / parent for parent in path.parents if parent.parts]
        if is_outside or any(parent.is_symlink() for parent in between):
            raise ManifestInvalid(f"manifest of {self.version}: {name} lies outside the version")
        return KnownFile(self.directory / path, entry.sha256, entry.size_bytes)

    def read(self, name: str) -> bytes:
        """The bytes of a file.

        Raises:
            ManifestInvalid, DigestMismatch: it is not the file that was signed.
            StorageUnavailable: it is there but cannot be read now.
        """
        with self._refusals(name):
            return self.known(name).read()

    def compiled(self, name: str) -> bytes:
        """The bytes of a file of the compiled form; raises as `read`."""
        return self.read(f"{COMPILED_NAME}/{name}")

    @contextlib.contextmanager
    def compiled_copy(self, name: str) -> Iterator[Path]:
        """A file of the compiled form as `KnownFile.private_copy`; raises as `read`."""
        name = f"{COMPILED_NAME}/{name}"
        with contextlib.ExitStack() as stack:
            with self._refusals(name):
                path = stack.enter_context(self.known(name).private_copy())
            yield path

    def check(self, but: Collection[str] = ()) -> None:
        """Prove every file, without keeping its bytes, but those that `read` is about to prove.

        Raises: as `read`.
        """
        for name in self.entries:
            if name not in but:
                with self._refusals(name):
                    self.known(name).check()

    @contextlib.contextmanager
    def _refusals(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise DigestMismatch(f"{self.version}: {name} is missing") from None
        except FileRefused as refused:
            raise DigestMismatch(f"{self.version}: {name} {refused.reason}") from None
        except OSError as error:
            raise StorageUnavailable(
                f"{self.version}: {name} cannot be read: {error.strerror}."
            ) from None
