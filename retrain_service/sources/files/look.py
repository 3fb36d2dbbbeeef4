"""Look at a file or folder: which streams its files could be, and a few records of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from retrain_service.sources.catalogue import Catalogue, Collection, columns_of
from retrain_service.sources.files.contents import FileOptions, Incomplete, Place, read_records
from retrain_service.sources.files.listing import FoundFile, find_files, walk
from retrain_service.sources.json_values import to_json
from shared.errors import HotfitError
from shared.settings.sections import SourceSettings

_MOST_STREAMS = 100
_N_RECORDS = 60


def look(settings: SourceSettings, only: Sequence[str] = ()) -> Catalogue:
    """A collection for each file or folder of files, by the name that the setting takes.

    Raises:
        SourceUnavailable, SourceMisconfigured: it is not there, or may not be read.
    """
    root = Path(settings.url.removeprefix("file://"))
    names = list(only) or _names(root)
    found, remarks = [], []
    for name in names[:_MOST_STREAMS]:
        try:
            files = find_files(root, name)
            records = _records(files[0], FileOptions(settings.encoding, settings.delimiter))
            found.append(Collection(name, columns_of(records), sample=tuple(records)))
        except (HotfitError, Incomplete, OSError) as error:
            remarks.append(f"{name}: {error}")
    return Catalogue(tuple(found), tuple(remarks))


def _names(root: Path) -> list[str]:
    """A file stands for itself, a folder of files for one stream."""
    if root.is_file():
        return [root.name.partition(".")[0]]
    if not root.is_dir():
        find_files(root, "")  # says what is wrong
    names = (name.partition("/")[0] if "/" in name else name for name in sorted(walk(root)))
    return list(dict.fromkeys(name.partition(".")[0] for name in names))


def _records(found: FoundFile, options: FileOptions) -> list[Mapping[str, Any]]:
    with found.path.open("rb") as file:
        some = islice(read_records(file, found, options, Place()), _N_RECORDS)
        return [to_json(fields) for fields, _, _ in some]
