"""scikit-learn in a process of its own: what a client sees when it dies, or its parent does."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import psutil
import pytest
from sklearn.neighbors import KNeighborsClassifier

from shared.atomic_file import sha256_of
from shared.errors import LoadFailed, NotReady
from shared.forms.process.client import EstimatorProcess
from shared.forms.process.form import Processed, wrap
from shared.plain_file import KnownFile
from shared.versions.manifest import MODEL_NAME
from shared.workloads.rows import RowRefused
from tests.support.daemons import ROOT
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> KnownFile:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(80, 3))
    labels = np.array(["cold", "warm"], dtype=object)[(rows[:, 0] > 0).astype(int)]
    path = tmp_path_factory.mktemp("process") / MODEL_NAME
    joblib.dump(KNeighborsClassifier(3, n_jobs=-1).fit(rows, labels), path)
    return _known(path)


def _known(path: Path) -> KnownFile:
    return KnownFile(path, sha256_of(path), path.stat().st_size)


def _opened(model: KnownFile) -> Any:
    return wrap(EstimatorProcess(model, "whole"), Processed(MODEL_NAME, 0, None, None, ()))


def test_a_child_that_is_killed_is_started_again_and_the_request_is_answered(
    model: KnownFile,
) -> None:
    """The kernel kills what needs too much memory; no client should have to notice."""
    opened = _opened(model)
    rows = np.random.default_rng(1).normal(size=(5, 3))
    before = opened.predict(rows)
    first = opened.process.pid

    psutil.Process(first).kill()
    after = opened.predict(rows)

    assert opened.process.pid != first
    assert after.tolist() == before.tolist() == joblib.load(model.path).predict(rows).tolist()
    np.testing.assert_allclose(opened.predict_proba(rows).sum(axis=1), 1.0)
    with pytest.raises(RowRefused) as refused:
        opened.predict(np.array([[0.0, 0.0, 0.0], [0.0, np.nan, 0.0]]))
    assert (refused.value.row, refused.value.column) == (1, 1)
    opened.close()


def test_a_form_that_is_forgotten_ends_its_child(model: KnownFile) -> None:
    """A version that is retired is only let go of; nobody calls close."""
    opened = _opened(model)
    child = psutil.Process(opened.process.pid)

    del opened
    gc.collect()

    wait_until(lambda: not child.is_running(), 10, "the child to end")


def test_a_child_ends_when_its_parent_is_gone(model: KnownFile) -> None:
    """A worker that is killed must leave no process behind."""
    program = (
        "import os, sys; from pathlib import Path\n"
        "from shared.forms.process.client import EstimatorProcess\n"
        "from shared.plain_file import KnownFile\n"
        "model = KnownFile(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))\n"
        "process = EstimatorProcess(model, 'whole')\n"
        "print(process.pid, flush=True)\n"
        "sys.stdin.read(1); os._exit(9)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(model.path), model.sha256, str(model.size_bytes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ},
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))

    parent.kill()
    parent.wait(10)

    wait_until(lambda: not child.is_running(), 10, "the child to end")
    for pipe in (parent.stdin, parent.stdout):
        assert pipe is not None
        pipe.close()


class _Intruder:
    """What is run by whoever unpickles it."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self._trace,))


def test_a_model_that_was_exchanged_is_not_opened_when_the_child_starts_again(
    model: KnownFile, tmp_path: Path
) -> None:
    """Only its first opening was verified once; whoever could write the folder had code run."""
    path = tmp_path / MODEL_NAME
    path.write_bytes(model.path.read_bytes())
    opened = _opened(_known(path))
    rows = np.random.default_rng(1).normal(size=(5, 3))
    before = opened.predict(rows)
    trace = tmp_path / "the intruder was here"
    joblib.dump(_Intruder(trace), path)
    foreign = path.read_bytes()
    path.write_bytes(foreign.ljust(model.size_bytes, b"\0"))  # of the same size, too

    psutil.Process(opened.process.pid).kill()
    with pytest.raises(NotReady, match="SHA-256"):
        opened.predict(rows)

    assert not trace.exists()
    path.write_bytes(model.path.read_bytes())
    assert opened.predict(rows).tolist() == before.tolist()
    opened.close()


def test_a_model_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    """The reason goes to the report of the worker, so it must name what is wrong."""
    (tmp_path / MODEL_NAME).write_bytes(b"no pickle")

    with pytest.raises(LoadFailed, match="could not open it"):
        EstimatorProcess(_known(tmp_path / MODEL_NAME), "whole")
