"""Open the mappings that ship with Hotfit, one file of `shape_files/` each, and recognise them.

A shape is data: per stream the fields and words as a person would write them in hotfit.toml.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from shared.errors import SettingsInvalid
from shared.mapping.paths import Path as FieldPath
from shared.settings.streams import FieldSettings, StreamSettings

FOLDER = Path(__file__).resolve().parent / "shape_files"
_RECOGNISED_FROM = 0.8


@dataclass(frozen=True, slots=True)
class Shape:
    """What one shape says of one stream.

    about : whose records have it.
    documentation : where its makers describe it; "" where that is no public page.
    sign : an expression that is true for records of this shape and for few others; None: none.
    id_field, updated_at_field : what is usual in it, for `init`; "" where nothing is.
    """

    name: str
    about: str
    documentation: str
    fields: Mapping[str, FieldSettings]
    words: Mapping[str, tuple[Any, ...]]
    sign: FieldPath | None
    id_field: str
    updated_at_field: str


@cache
def shapes() -> Mapping[str, Mapping[str, Shape]]:
    """Name -> stream -> shape, in the order of the names."""
    return {path.stem: _read(path) for path in sorted(FOLDER.glob("*.toml"))}


def shape_of(name: str, stream: str, where: str) -> Shape:
    """A shape of a stream.

    Raises:
        SettingsInvalid: no such shape, or it says nothing of this stream.
    """
    known = [each for each, streams in shapes().items() if stream in streams]
    if name in known:
        return shapes()[name][stream]
    close = get_close_matches(name.casefold(), known, n=1)
    hint = f" did you mean {close[0]}?" if close else ""
    raise SettingsInvalid(
        f"{where}: expected a shape for {stream} ({', '.join(known) or 'there is none'}),"
        f" found {name!r}.{hint}"
    )


def recognised(stream: str, records: Sequence[Mapping[str, Any]]) -> Shape | None:
    """The shape that most of these records plainly have; None where none does.

    Nothing is mapped by this: it is for telling a person which shape to set.
    """
    if not records:
        return None
    for streams in shapes().values():
        shape = streams.get(stream)
        if shape is not None and shape.sign is not None:
            n_alike = sum(bool(shape.sign.find(record)) for record in records)
            if n_alike >= _RECOGNISED_FROM * len(records):
                return shape
    return None


def suggestion(stream: str, settings: StreamSettings, records: Sequence[Mapping[str, Any]]) -> str:
    """Which shape to set for records as they stand in the source; "" where nothing is to be said.

    >>> suggestion("interactions", StreamSettings(), [
    ...     {"visitorid": 1, "itemid": 2, "event": "view", "timestamp": 1764151200000}])
    'these records look like retailrocket: set shape = "retailrocket" for the stream'
    """
    if settings.shape or settings.fields:
        return ""
    shape = recognised(stream, records)
    if shape is None:
        return ""
    return f'these records look like {shape.name}: set shape = "{shape.name}" for the stream'


def _read(path: Path) -> Mapping[str, Shape]:
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    return {
        stream: Shape(
            name=path.stem,
            about=content["about"],
            documentation=content["documentation"],
            fields={
                name: FieldSettings.model_validate(field)
                for name, field in found.get("fields", {}).items()
            },
            words={meaning: tuple(words) for meaning, words in found.get("words", {}).items()},
            sign=FieldPath(found["sign"], path.name) if "sign" in found else None,
            id_field=found.get("id_field", ""),
            updated_at_field=found.get("updated_at_field", ""),
        )
        for stream, found in content.items()
        if isinstance(found, dict)
    }
