"""Call treelite's C library directly: open a forest, predict with it; one thread, without GIL.

The Python package of treelite imports scipy, which costs a serving process start time and memory;
what serving needs are six functions of the library that the package brings. Knows no scikit-learn.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.errors import LoadFailed

Floats = NDArray[np.float64]

_lock = threading.Lock()
_library: ctypes.CDLL | None = None
_names = {"win32": "treelite.dll", "darwin": "libtreelite.dylib"}

RAW, DEFAULT = "raw", "default"


def library_path() -> Path:
    """Where the installed package keeps its library; the package itself is not imported.

    Raises:
        LoadFailed: treelite is not installed here.
    """
    found = importlib.util.find_spec("treelite")
    if found is None or found.origin is None:
        raise LoadFailed("this version is served by treelite, which is not installed here.")
    return Path(found.origin).parent / "lib" / _names.get(sys.platform, "libtreelite.so")


def _loaded() -> ctypes.CDLL:
    global _library
    with _lock:
        if _library is None:
            path = library_path()
            try:
                library = ctypes.CDLL(str(path))
            except OSError as error:
                raise LoadFailed(f"treelite: {path.name} cannot be used: {error}") from None
            pointer = ctypes.c_void_p
            library.TreeliteGetLastError.restype = ctypes.c_char_p
            library.TreeliteDeserializeModelFromFile.argtypes = [ctypes.c_char_p, pointer]
            library.TreeliteFreeModel.argtypes = [pointer]
            library.TreeliteGTILParseConfig.argtypes = [ctypes.c_char_p, pointer]
            library.TreeliteGTILDeleteConfig.argtypes = [pointer]
            library.TreeliteGTILGetOutputShape.argtypes = [
                pointer,
                ctypes.c_uint64,
                pointer,
                pointer,
                pointer,
            ]
            library.TreeliteGTILPredict.argtypes = [
                pointer,
                pointer,
                ctypes.c_char_p,
                ctypes.c_uint64,
                pointer,
                pointer,
            ]
            _library = library
        return _library


class _Buffers(threading.local):
    """Room for one row and its answer, of one thread, with the addresses worked out."""

    def __init__(self, n_columns: int, n_scores: int) -> None:
        self.row = np.zeros((1, n_columns))
        self.answer = np.zeros((1, n_scores))
        self.row_at, self.answer_at = self.row.ctypes.data, self.answer.ctypes.data
        self.single = np.zeros((1, n_columns), dtype=np.float32)


class Forest:
    """A forest that treelite wrote, open. Any thread may ask; freed when it is forgotten."""

    def __init__(self, stored: Path | bytes, n_columns: int, kind: str) -> None:
        """stored : as treelite serialized it; not needed any more afterwards.

        kind : RAW sums of leaves, or DEFAULT with what the forest does to them.

        Raises:
            LoadFailed: the library cannot read it.
        """
        self._library = _loaded()
        model, config = ctypes.c_void_p(), ctypes.c_void_p()
        wish = f'{{"predict_type": "{kind}", "nthread": 1}}'.encode()
        self._call("TreeliteGTILParseConfig", wish, ctypes.byref(config))
        self._config = config
        weakref.finalize(self, self._library.TreeliteGTILDeleteConfig, config)
        if isinstance(stored, bytes):
            size = ctypes.c_size_t(len(stored))
            self._call("TreeliteDeserializeModelFromBytes", stored, size, ctypes.byref(model))
        else:
            # As bytes: the library opens the path itself.
            path = str(stored).encode()
            self._call("TreeliteDeserializeModelFromFile", path, ctypes.byref(model))
        self._model = model
        weakref.finalize(self, self._library.TreeliteFreeModel, model)
        shape, n_dimensions = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64()
        self._call(
            "TreeliteGTILGetOutputShape",
            model,
            1,
            config,
            ctypes.byref(shape),
            ctypes.byref(n_dimensions),
        )
        self.n_scores = int(np.prod([shape[i] for i in range(1, n_dimensions.value)]))
        self._predict = self._library.TreeliteGTILPredict
        self._buffers = _Buffers(n_columns, self.n_scores)

    def _call(self, name: str, *arguments: object) -> None:
        if getattr(self._library, name)(*arguments) != 0:
            said = self._library.TreeliteGetLastError() or b""
            raise LoadFailed(f"treelite: {name} failed: {said.decode(errors='replace')[:200]}")

    def ask_one(self, row: Floats, *, in_single_precision: bool) -> Floats:
        """(1, n_columns) -> (1, n_scores)"""
        own = self._buffers
        if in_single_precision:
            own.single[...] = row
            own.row[...] = own.single
        else:
            own.row[...] = row
        own.answer[...] = 0.0
        if self._predict(self._model, own.row_at, b"float64", 1, own.answer_at, self._config):
            self._failed()
        return own.answer.copy()

    def ask(self, matrix: Floats) -> Floats:
        """(n_rows, n_columns) float64 in C order -> (n_rows, n_scores)"""
        n_rows = matrix.shape[0]
        answer = np.zeros((n_rows, self.n_scores))
        if self._predict(
            self._model,
            matrix.ctypes.data,
            b"float64",
            n_rows,
            answer.ctypes.data,
            self._config,
        ):
            self._failed()
        return answer

    def _failed(self) -> None:
        said = self._library.TreeliteGetLastError() or b""
        raise RuntimeError(f"treelite failed: {said.decode(errors='replace')[:200]}")
