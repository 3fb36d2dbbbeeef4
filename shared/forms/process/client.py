"""Call an estimator in a child process, apart from the imports, GIL and memory of the API.

The serving half: starts `shared.forms.process.child`, sends matrices as raw bytes, reads raw bytes
back. A child that dies is started again, and what was asked is asked once more. Knows no version
and no workload; imports neither joblib nor scikit-learn.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
import weakref
from functools import partial
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.daemon.background import run_in_background
from shared.errors import LoadFailed, NotReady
from shared.plain_file import KnownFile
from shared.workloads.text_rows import TextMatrix, compact

ANSWER_WITHIN_S = 60.0
OPEN_WITHIN_S = 600.0
_THREADS = ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "VECLIB_MAXIMUM", "NUMEXPR_NUM")
ONE_THREAD = {f"{name}_THREADS": "1" for name in _THREADS}
"""Threads of numeric libraries spin against each other where there are few cores."""

_ROOT = Path(__file__).parent.parent.parent.parent


class Header(msgspec.Struct, frozen=True):
    """What goes before the raw bytes, in both directions, as one line of JSON.

    method : what is asked; "" in answers. error : why there is no array.
    texts, text_columns : of a matrix with texts; see TextMatrix.
    """

    method: str = ""
    dtype: str = ""
    shape: tuple[int, ...] = ()
    n_bytes: int = 0
    error: str | None = None
    is_row_refused: bool = False
    texts: list[str] = []
    text_columns: tuple[int, ...] = ()


class Hello(msgspec.Struct, frozen=True):
    """The child's first line: what it opened.

    methods : of predict, predict_proba and decision_function, those that it has; none: it is no
        estimator. tree : it is plain data, and so many bytes of JSON and of arrays follow.
    """

    error: str | None = None
    methods: tuple[str, ...] = ()
    classes_dtype: str = ""
    n_classes: int = 0
    n_classes_bytes: int = 0
    tree: tuple[int, int] | None = None


class ChildDied(Exception):
    """The child ended, or was ended, before it answered."""


class EstimatorRefused(ValueError):
    """The estimator raised ValueError: what it says about the rows."""


def send(pipe: IO[bytes], header: msgspec.Struct, *parts: bytes | memoryview) -> None:
    """One message. Raises OSError or ValueError when the other end is gone."""
    pipe.write(msgspec.json.encode(header) + b"\n")
    for part in parts:
        pipe.write(part)
    pipe.flush()


def receive(pipe: IO[bytes], n_bytes: int) -> bytes:
    """Raises EOFError when the other end is gone."""
    found = pipe.read(n_bytes)
    if len(found) != n_bytes:
        raise EOFError
    return found


def as_array(header: Header, content: bytes) -> NDArray[Any]:
    """The array that a message carries; it may be written to."""
    found = np.frombuffer(bytearray(content), dtype=np.dtype(header.dtype))
    found = found.reshape(header.shape)
    return TextMatrix(found, header.texts, header.text_columns) if header.text_columns else found


class _Child:
    """One run of the child. Ended at the latest when this object is forgotten."""

    def __init__(self, arguments: list[str]) -> None:
        self.process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            [sys.executable, "-m", "shared.forms.process.child", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_ROOT,
            env={**os.environ, **ONE_THREAD},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.to, self.of = self.process.stdin, self.process.stdout
        self.deadline: list[float | None] = [None]
        self.is_over = threading.Event()
        run_in_background(
            "estimator-watch",
            partial(_watch, self.process, self.deadline, self.is_over),
            self.is_over,
        )
        self.end = weakref.finalize(self, _end, self.process, self.is_over)

    def hello(self) -> tuple[Hello, bytes]:
        """What the child says once it has opened the estimator.

        Raises:
            ChildDied: it ended, or took longer than OPEN_WITHIN_S.
        """
        self.deadline[0] = time.monotonic() + OPEN_WITHIN_S
        try:
            hello = msgspec.json.decode(self._line(), type=Hello)
            content = receive(self.of, hello.n_classes_bytes + sum(hello.tree or ()))
        except (EOFError, OSError, ValueError):
            raise ChildDied(self._how()) from None
        finally:
            self.deadline[0] = None
        return hello, content

    def ask(self, method: str, matrix: NDArray[np.float64]) -> tuple[Header, bytes]:
        """The child's answer to rows of shape (n_rows, n_features).

        Raises:
            ChildDied: it ended, or took longer than ANSWER_WITHIN_S.
        """
        self.deadline[0] = time.monotonic() + ANSWER_WITHIN_S
        try:
            plain, texts, columns = compact(matrix)
            content = plain.data.cast("B") if plain.size else b""
            header = Header(
                method, "<f8", plain.shape, plain.nbytes, texts=texts, text_columns=columns
            )
            send(self.to, header, content)
            answer = msgspec.json.decode(self._line(), type=Header)
            return answer, receive(self.of, answer.n_bytes)
        except (EOFError, OSError, ValueError):  # ValueError: the pipe was closed
            raise ChildDied(self._how()) from None
        finally:
            self.deadline[0] = None

    def _line(self) -> bytes:
        line = self.of.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        return line

    def _how(self) -> str:
        self.end()
        return f"exit code {self.process.returncode}"


def _watch(
    process: subprocess.Popen[bytes], deadline: list[float | None], is_over: threading.Event
) -> None:
    """End a child that hangs; a pipe cannot be read with a time limit on every system."""
    is_over.wait(1.0)
    at = deadline[0]
    if at is not None and time.monotonic() > at:
        process.kill()
        is_over.set()


def _end(process: subprocess.Popen[bytes], is_over: threading.Event) -> None:
    """The child holds no state: it is not asked to finish."""
    is_over.set()
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what was not sent cannot be any more
                pipe.close()


class EstimatorProcess:
    """Any thread may ask; one after the other. Ends its child when it is closed or forgotten."""

    def __init__(self, model: KnownFile, part: str) -> None:
        """model : each child reads it anew, and opens it only if it is still what it was.

        part : "whole", or after how many steps it begins, where a plan did those before.

        Raises:
            LoadFailed: the child could not open the model.
        """
        self._arguments = [str(model.path.resolve()), model.sha256, str(model.size_bytes), part]
        self._lock = threading.Lock()
        self._child, self.hello, self._content = self._started()
        n_bytes = self.hello.n_classes_bytes
        self.classes: NDArray[Any] | None = None
        if self.hello.n_classes:
            found = np.frombuffer(self._content[:n_bytes], dtype=np.dtype(self.hello.classes_dtype))
            self.classes = found.copy()

    @property
    def pid(self) -> int:
        """Of the child that answers now."""
        return self._child.process.pid

    def tree(self) -> tuple[bytes, bytes] | None:
        """What the child opened, where it is plain data; see `data_tree`."""
        if self.hello.tree is None:
            return None
        n_tree, _ = self.hello.tree
        rest = self._content[self.hello.n_classes_bytes :]
        return rest[:n_tree], rest[n_tree:]

    def close(self) -> None:
        self._child.end()

    def ask(self, method: str, matrix: NDArray[np.float64]) -> NDArray[Any]:
        """Call a method of the estimator.

        Raises:
            EstimatorRefused: it raised ValueError.
            RuntimeError: it raised anything else.
            NotReady: its process died twice; the next request starts it again.
        """
        matrix = np.array(matrix, dtype=np.float64, order="C", subok=True)
        with self._lock:
            try:
                header, content = self._child.ask(method, matrix)
            except ChildDied:
                header, content = self._asked_again(method, matrix)
        if header.error is not None:
            kind = EstimatorRefused if header.is_row_refused else RuntimeError
            raise kind(header.error)
        return as_array(header, content)

    def _asked_again(self, method: str, matrix: NDArray[np.float64]) -> tuple[Header, bytes]:
        try:
            self._child, _, _ = self._started()
            return self._child.ask(method, matrix)
        except (ChildDied, LoadFailed) as error:
            raise NotReady(
                f"the process of the model's estimator died twice while answering ({error});"
                " the next request starts it again."
            ) from None

    def _started(self) -> tuple[_Child, Hello, bytes]:
        try:
            child = _Child(self._arguments)
            hello, content = child.hello()
        except (ChildDied, OSError) as error:
            raise LoadFailed(f"the process of the estimator did not start: {error}") from None
        if hello.error is not None:
            child.end()
            raise LoadFailed(f"the process of the estimator could not open it: {hello.error}")
        return child, hello, content
