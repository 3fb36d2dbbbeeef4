"""Store values as data, never as code: JSON for the structure, one .npz file for the arrays.

Holds numbers, texts, lists, dictionaries, NumPy arrays, and the classes that `stored_types` has a
tag for. What it reads can name no other class and carries no code.
"""

from __future__ import annotations

import io
import math
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.errors import LoadFailed
from shared.stored_types import OLD_PATHS, field_names, rebuild, tag_of
from shared.versions.staged_files import StagedFiles
from shared.versions.version_files import COMPILED_NAME, VersionFiles

FORMAT = 2
"""Format 1, of release 0.1.0, names classes by their module, format 2 by their tag."""

TREE_NAME = "form.json"
ARRAYS_NAME = "arrays.npz"
_PLAIN = (type(None), bool, int, str)


class NotData(Exception):
    """The value holds something that is no data; the sentence names it."""


def encode(value: object) -> tuple[bytes, bytes]:
    """(JSON, npz); the same value gives the same bytes.

    Raises:
        NotData: it holds an object of a class without a tag, or a function.
    """
    arrays: list[NDArray[Any]] = []
    tree = {"format": FORMAT, "root": _encoded(value, arrays)}
    file = io.BytesIO()
    try:
        np.savez(file, allow_pickle=False, **{str(i): each for i, each in enumerate(arrays)})
        return msgspec.json.encode(tree), file.getvalue()
    except (ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise NotData(f"not storable as data: {error}") from None


def decode(tree: bytes, arrays: bytes) -> Any:
    """The reverse of `encode`.

    Raises:
        LoadFailed: not what `encode` wrote, or a type that this code does not have.
    """
    try:
        found = msgspec.json.decode(tree)
        if found["format"] not in (1, FORMAT):
            expected = f"expected format 1 or {FORMAT}, found {found['format']!r}"
            raise LoadFailed(f"{TREE_NAME}: {expected}.")
        with np.load(io.BytesIO(arrays), allow_pickle=False) as file:
            return _decoded(found["root"], {name: file[name] for name in file.files})
    except LoadFailed:
        raise
    except Exception as error:  # zip, header, JSON and constructor errors are of many types
        raise LoadFailed(f"{TREE_NAME} cannot be read: {error!r}.") from error


def write_tree(staged: StagedFiles, value: object) -> None:
    """Two files in `compiled/`.

    Raises:
        NotData: see `encode`; nothing was written.
    """
    tree, arrays = encode(value)
    staged.write(f"{COMPILED_NAME}/{TREE_NAME}", tree)
    staged.write(f"{COMPILED_NAME}/{ARRAYS_NAME}", arrays)


def read_tree(files: VersionFiles) -> Any:
    """The reverse of `write_tree`."""
    return decode(files.compiled(TREE_NAME), files.compiled(ARRAYS_NAME))


def _encoded(value: object, arrays: list[NDArray[Any]]) -> Any:
    if type(value) in _PLAIN:
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if type(value) in (list, tuple):
        assert isinstance(value, (list, tuple))
        items = [_encoded(item, arrays) for item in value]
        return {"list" if type(value) is list else "tuple": items}
    if type(value) is dict:
        pairs = [[_encoded(key, arrays), _encoded(item, arrays)] for key, item in value.items()]
        return {"dict": pairs}
    if isinstance(value, np.generic):
        arrays.append(np.asarray(value))
        return {"scalar": len(arrays) - 1}
    if type(value) is np.ndarray:
        arrays.append(value)
        return {"array": len(arrays) - 1}
    kind = type(value)
    tag = tag_of(kind)
    if tag is None:
        raise NotData(f"{kind.__module__}:{kind.__qualname__} has no tag in shared.stored_types")
    fields = {name: _encoded(getattr(value, name), arrays) for name in field_names(kind)}
    return {"type": tag, "fields": fields}


def _decoded(node: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    if not isinstance(node, dict):
        return node
    if "fields" in node:
        fields = {name: _decoded(item, arrays) for name, item in node["fields"].items()}
        return rebuild(node["type"] if "type" in node else _tag_named(node["class"]), fields)
    ((kind, content),) = node.items()
    if kind == "float":
        return float(content)
    if kind in ("list", "tuple"):
        items = [_decoded(item, arrays) for item in content]
        return items if kind == "list" else tuple(items)
    if kind == "dict":
        return {_decoded(key, arrays): _decoded(item, arrays) for key, item in content}
    if kind in ("array", "scalar"):
        found = arrays[str(content)]
        return found if kind == "array" else found[()]
    raise LoadFailed(f"{TREE_NAME}: expected a kind of value, found {kind!r}.")


def _tag_named(path: str) -> str:
    """Of a class that format 1 names; nothing else is ever imported."""
    tag = OLD_PATHS.get(path)
    if tag is None:
        raise LoadFailed(f"{TREE_NAME}: {path} is no stored type that this release knows.")
    return tag
