"""The child process of a process form: open one estimator, answer until the parent is gone.

`python -m shared.forms.process.child MODEL SHA256 SIZE PART`. Reads standard input, and writes to
what standard output was: whatever the estimator prints goes to standard error.
"""

from __future__ import annotations

import io
import os
import sys
import warnings
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.forms import data_tree
from shared.forms.process.client import Header, Hello, as_array, receive, send
from shared.forms.process.unwrap import rest_of, serve_in_one_thread
from shared.plain_file import KnownFile
from shared.stored_types import old_names

METHODS = ("predict", "predict_proba", "decision_function")


def _private_pipes() -> tuple[IO[bytes], IO[bytes]]:
    answers = os.dup(1)
    os.dup2(2, 1)
    if sys.platform == "win32":
        import msvcrt

        msvcrt.setmode(answers, os.O_BINARY)
    return sys.stdin.buffer, os.fdopen(answers, "wb")


def _opened(model: KnownFile, part: str) -> Any:
    """What is unpickled are the bytes that were found to be the known ones."""
    import joblib

    content = model.read()
    with old_names():
        estimator = joblib.load(io.BytesIO(content))
    serve_in_one_thread(estimator)
    return estimator if part == "whole" else rest_of(estimator, int(part))


def _plain(values: Any) -> NDArray[Any]:
    found = np.asarray(values)
    return found.astype(np.str_) if found.dtype == object else found


def _introduce(estimator: Any, pipe: IO[bytes]) -> bool:
    """Say what was opened; False when it cannot be asked."""
    methods = tuple(name for name in METHODS if hasattr(estimator, name))
    if not methods:
        try:
            tree, arrays = data_tree.encode(estimator)
        except data_tree.NotData:
            send(pipe, Hello())
        else:
            send(pipe, Hello(tree=(len(tree), len(arrays))), tree, arrays)
        return False
    classes = getattr(estimator, "classes_", None)
    if classes is None or isinstance(classes, list):
        send(pipe, Hello(methods=methods))
        return True
    labels = _plain(classes)
    content = labels.tobytes()
    send(pipe, Hello(None, methods, labels.dtype.str, len(labels), len(content)), content)
    return True


def _answer(estimator: Any, header: Header, content: bytes) -> tuple[Header, bytes]:
    try:
        found = _plain(getattr(estimator, header.method)(as_array(header, content)))
        answer = np.ascontiguousarray(found)
        return Header("", answer.dtype.str, answer.shape, answer.nbytes), answer.tobytes()
    except BaseException as error:  # noqa: BLE001 - an estimator may raise whatever it likes
        said = str(error) if isinstance(error, ValueError) else repr(error)
        return Header(error=said, is_row_refused=isinstance(error, ValueError)), b""


def main(model: str, sha256: str, size_bytes: str, part: str) -> int:
    requests, answers = _private_pipes()
    # A plan gives arrays to what was fitted on frames; that is meant.
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    try:
        estimator = _opened(KnownFile(Path(model), sha256, int(size_bytes)), part)
    except BaseException as error:  # noqa: BLE001 - unpickling raises whatever it likes
        send(answers, Hello(repr(error)))
        return 1
    if not _introduce(estimator, answers):
        return 0
    while line := requests.readline():  # nothing: the parent is gone
        header = msgspec.json.decode(line, type=Header)
        send(answers, *_answer(estimator, header, receive(requests, header.n_bytes)))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
