"""The process that opens a staged version before anybody else does."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from retrain_service.publish.trial_load import TrialLoad
from shared.keys.signing import SigningKey
from shared.versions.model_store import ModelStore
from tests.support.versions import make_version


def _processes() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_what_cannot_be_opened_is_the_answer_and_not_an_exception(tmp_path: Path) -> None:
    """A version that nobody can open is rejected with its reason; the run goes on to its end."""
    key = SigningKey.read_or_create(tmp_path / "keys")
    store = ModelStore(tmp_path / "models")
    version = make_version(store, key, "m", 1)  # of a workload that the other process cannot know
    before = _processes()

    with TrialLoad() as trial:
        found = trial.open(
            store.version_dir("m", version), tmp_path / "keys" / "signing.pub", "m", version
        )

    assert found.error is not None
    assert "tiny" in found.error
    assert _processes() <= before


def test_a_trial_that_is_not_needed_any_more_leaves_no_process(tmp_path: Path) -> None:
    """Staging may fail, on a full disk for one, after the process was started."""
    before = _processes()

    with pytest.raises(OSError, match="no space"), TrialLoad():
        raise OSError("no space")

    assert _processes() <= before


def test_a_trial_that_is_killed_is_a_trial_that_failed(tmp_path: Path) -> None:
    """Out of memory, say: what nobody could open must not be promoted."""
    before = _processes()

    with TrialLoad() as trial:
        for pid in _processes() - before:
            psutil.Process(pid).kill()
        found = trial.open(tmp_path, tmp_path / "signing.pub", "m", "v000001")

    assert found.error is not None
    assert found.error.startswith("the trial load died (exit code ")
