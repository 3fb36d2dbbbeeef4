"""Which modules of ours the files of a version name, in whatever way they are written."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

STORED_TYPES = "shared.stored_types"
_OURS = re.compile(rb"\b(?:shared|api_service|retrain_service)(?:\.[A-Za-z_]\w*)+")


def modules_named_in(directory: Path) -> set[str]:
    return {
        found.decode()
        for path in directory.rglob("*")
        if path.is_file()
        for content in _contents(path)
        for found in _OURS.findall(content)
    }


def _contents(path: Path) -> Iterator[bytes]:
    content = path.read_bytes()
    if path.suffix == ".joblib":
        assert content[:1] == b"\x80", f"{path} is compressed; nothing could be found in it"
    yield content
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                yield archive.read(name)
