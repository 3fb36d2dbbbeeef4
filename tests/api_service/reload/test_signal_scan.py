"""Thousands of models are looked at by their directories."""

from __future__ import annotations

from pathlib import Path

import pytest

from api_service.reload.signal_scan import NO_SIGNAL, SignalScan
from tests.support.versions import ServingHome, write_signal


def test_models_and_their_entities_are_found_as_they_come(home: ServingHome) -> None:
    """New ones appear while the daemon runs; the sweep remembers directories, so that matters."""
    sweep = SignalScan(home.store.models_dir)
    assert sweep.scan() == {}

    version = home.publish("m", 1)
    assert set(sweep.scan()) == {"m"}
    home.publish("fleet/one", 1)
    home.publish("fleet/two", 1)
    home.make("made", 1)

    found = sweep.scan()
    assert set(found) == {"fleet/one", "fleet/two", "m", "made"}
    assert set(found) == set(home.store.model_names())
    assert found["made"] == NO_SIGNAL
    assert sweep.scan() == found

    write_signal(home.store, "m", version)
    changed = sweep.scan()
    assert {name for name in found if changed[name] != found[name]} == {"m"}


def test_an_entity_whose_directory_is_filled_later_is_found(home: ServingHome) -> None:
    """A directory is made before what is in it: both looks must count."""
    sweep = SignalScan(home.store.models_dir)
    (home.store.models_dir / "fleet" / "one").mkdir(parents=True)
    assert sweep.scan() == {}

    home.publish("fleet/one", 1)

    assert set(sweep.scan()) == {"fleet/one"}


def test_a_directory_that_is_none_is_said(tmp_path: Path) -> None:
    """Its absence is ordinary at a first start; a file in its place is not."""
    assert SignalScan(tmp_path / "none").scan() == {}
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="irectory"):
        SignalScan(tmp_path / "file").scan()


def test_directories_that_are_no_models_are_left_out(home: ServingHome) -> None:
    """Ten thousand of them hid the real model from health and doubled the memory of each worker."""
    home.publish("m", 1)
    for n in range(50):
        (home.store.models_dir / f"junk{n}").mkdir()
        (home.store.models_dir / f"empty{n}" / "versions").mkdir(parents=True)
        (home.store.models_dir / f"half{n}" / "versions" / "v000001-20261101T090000Z").mkdir(
            parents=True
        )
    (home.store.models_dir / "no model").mkdir()
    (home.store.models_dir / "no model" / "reload_signal.json").write_text("{}")
    sweep = SignalScan(home.store.models_dir)

    assert set(sweep.scan()) == {"m"}

    home.make("empty7", 1)
    assert set(sweep.scan()) == {"m", "empty7"}
