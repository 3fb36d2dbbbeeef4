"""Which files belong to a stream, and whether one has changed. Opens none of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shared.errors import CollectionMissing, SourceMisconfigured, SourceUnavailable

FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "lines",
    ".ndjson": "lines",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}
"""Ending -> form; each may be followed by .gz, but Parquet, which is compressed inside."""

_UNFINISHED = (".tmp", ".part", ".partial", ".crdownload", ".swp", "~")
_MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file as the folder shows it.

    name : relative to the folder, with "/".
    form : a value of FORMATS. is_packed : gzip around it.
    stamp : equal only as long as nothing was written (size, time, and which file it is).
    """

    name: str
    path: Path
    form: str
    is_packed: bool
    stamp: tuple[int, int, int]

    @property
    def written_us(self) -> int:
        return self.stamp[1] // 1000

    @property
    def grows(self) -> bool:
        """Whether what is appended can be read alone."""
        return self.form in ("csv", "lines") and not self.is_packed


def find_files(root: Path, collection: str) -> list[FoundFile]:
    """The files of one stream by name: the address itself when it is a file; else in the folder
    the file or folder of the collection's name, with or without ending, or its pattern.

    Raises:
        SourceUnavailable: the address is not there (a disk that is not mounted).
        CollectionMissing: it is, but no file belongs to the stream; what there is, is named.
        SourceMisconfigured: the folder may not be read.
    """
    if root.is_file():
        found = _found(root, root.name)
        if found is None:
            raise SourceMisconfigured(
                f"{root}: expected a file that ends in {', '.join(FORMATS)} (and .gz)."
            )
        return [found]
    if not root.is_dir():
        raise SourceUnavailable(f"{root}: no such file or folder; waiting for it to appear.")
    names = sorted(walk(root))
    wanted = [name for name in names if _belongs(name, collection)]
    files = [found for name in wanted if (found := _found(root / name, name)) is not None]
    if not files:
        there = ", ".join(names[:_MOST_NAMED]) or "none"
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        raise CollectionMissing(
            f"{root}: no file belongs to {collection!r}; the files there are {there}{more}."
        )
    return files


def walk(root: Path) -> Iterator[str]:
    def refuse(error: OSError) -> None:
        raise SourceMisconfigured(f"{error.filename}: {error.strerror}.") from error

    for folder, folders, names in os.walk(root, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        for name in names:
            if not name.startswith((".", "_")) and not name.endswith(_UNFINISHED):
                yield (Path(folder) / name).relative_to(root).as_posix()


def _belongs(name: str, collection: str) -> bool:
    if any(sign in collection for sign in "*?["):
        return Path(name).match(collection)
    form = _form(name)
    bare = name[: -len("".join(form[2]))] if form else name
    return collection in (name, bare) or name.startswith(f"{collection.rstrip('/')}/")


def _form(name: str) -> tuple[str, bool, tuple[str, ...]] | None:
    """Form, whether gzip is around it, and the endings; None: of another kind."""
    endings = Path(name.lower()).suffixes
    is_packed = endings[-1:] == [".gz"]
    own = endings[-2:-1] if is_packed else endings[-1:]
    if not own or own[0] not in FORMATS:
        return None
    return FORMATS[own[0]], is_packed, (*own, *([".gz"] if is_packed else []))


def _found(path: Path, name: str) -> FoundFile | None:
    form = _form(name)
    try:
        about = path.stat()
    except FileNotFoundError:  # it went while we looked
        return None
    if form is None:
        return None
    return FoundFile(name, path, form[0], form[1], (about.st_size, about.st_mtime_ns, about.st_ino))
