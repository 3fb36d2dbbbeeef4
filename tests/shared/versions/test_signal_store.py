"""What somebody who can write below `models/` may put in the place of a signal, and what follows.

He has seen every signal and manifest there ever was, and has no key.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared.errors import StorageUnavailable
from shared.exchange.json_files import SignalUnreadable
from shared.exchange.reload_signal import ReloadSignal
from shared.keys.signature import signature_of
from shared.keys.signing import SigningKey
from shared.versions import signal_store
from shared.versions.manifest import read_manifest
from shared.versions.model_store import ModelStore
from shared.versions.signal_store import MARKER_NAME, MOST_BYTES, MOST_GENERATION
from tests.support.versions import ServingHome, write_signal

Lay = Callable[[Path], object]


@pytest.fixture
def home(tmp_path: Path) -> ServingHome:
    """Versions 1 and 2 were promoted, one after the other."""
    made = ServingHome(tmp_path, is_signed=True)
    made.publish("m", 1)
    path = made.store.signal_path("m")
    path.with_name("seen earlier").write_bytes(path.read_bytes())
    made.publish("m", 2)
    return made


def _changed(path: Path, **fields: Any) -> None:
    found = msgspec.json.decode(path.read_bytes())
    path.write_bytes(msgspec.json.encode({**found, **fields}))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "file").touch()


FORGED: dict[str, tuple[Lay, str]] = {
    "unsigned": (lambda path: _changed(path, generation=9, signature=None), "not signed"),
    "changed": (lambda path: _changed(path, generation=9), "not by the trusted key"),
    "held": (lambda path: _changed(path, hold=True), "not by the trusted key"),
    "endless": (lambda path: _changed(path, generation=2**64 - 1), "from 1 to 2^53, found 1844"),
    "negative": (lambda path: _changed(path, generation=-1), "from 1 to 2^53, found -1"),
    "deep": (lambda path: path.write_bytes(b"[" * 30_000 + b"]" * 30_000), "nested deeper"),
    "large": (lambda path: path.write_bytes(b" " * (MOST_BYTES + 1)), "is larger than"),
    "gone": (lambda path: path.unlink(), "it is gone; generation 2 is wanted"),
}
if os.name != "nt":
    FORGED["pipe"] = (_pipe, "not a regular file")
    FORGED["link"] = (_link, "not a regular file")
    FORGED["folder"] = (_folder, "directory")


@pytest.mark.parametrize("name", FORGED)
def test_what_nobody_signed_is_refused_with_a_sentence_and_replaced(
    home: ServingHome, name: str
) -> None:
    """The version that serves must not be anybody's choice who can write the folder."""
    lay, sentence = FORGED[name]
    path = home.store.signal_path("m")
    wanted = path.read_bytes()
    lay(path)

    with pytest.raises(SignalUnreadable) as refused:
        home.reading().signal("m")
    own = ModelStore(home.store.models_dir, signing=home.key)  # a daemon that starts now
    still = own.signal("m")
    found = own.restore_signal("m")

    assert sentence in str(refused.value)
    assert still is not None
    assert still.generation == 2
    assert found is not None
    assert path.read_bytes() == wanted
    assert home.reading().signal("m") == still
    assert own.restore_signal("m") is None
    lay(path)  # again, as soon as it was put back
    assert own.restore_signal("m") is not None


def test_an_old_signal_that_is_put_back_is_not_followed_after_a_restart(home: ServingHome) -> None:
    """It is signed and names a version that holds; only the memory on disk knows better."""
    path = home.store.signal_path("m")
    path.with_name("seen earlier").replace(path)

    with pytest.raises(SignalUnreadable, match="generation 1, but generation 2 has been wanted"):
        home.reading().signal("m")

    assert "generation 1" in (home.store.restore_signal("m") or "")
    signal = home.reading().signal("m")
    assert signal is not None
    assert signal.generation == 2


def test_the_signal_of_another_model_is_none_of_this_one(home: ServingHome) -> None:
    """Both are signed by the same key; a signature is for one model."""
    home.publish("other", 1)
    home.publish("other", 2)
    home.publish("other", 3)
    content = home.store.signal_path("other").read_bytes()
    home.store.signal_path("m").write_bytes(content)

    with pytest.raises(SignalUnreadable, match="not by the trusted key"):
        home.reading().signal("m")


def test_a_pipe_in_place_of_a_signal_stops_nobody(home: ServingHome) -> None:
    """Both daemons waited for ever, with no word, for somebody to write into it."""
    if os.name == "nt":
        pytest.skip("has no named pipes in folders")
    _pipe(home.store.signal_path("m"))
    done = threading.Event()

    def look() -> None:
        with pytest.raises(SignalUnreadable):
            home.reading().signal("m")
        done.set()

    threading.Thread(target=look, daemon=True).start()

    assert done.wait(20)


def test_a_field_of_a_later_release_leaves_a_signal_valid(home: ServingHome) -> None:
    """One may go back a release, or have two of them at work on one home."""
    path = home.store.signal_path("m")
    fields = {**msgspec.json.decode(path.read_bytes()), "added_later": 1, "generation": 3}
    signature = signature_of(fields, home.key, signal_store._purpose("m"))
    path.write_bytes(msgspec.json.encode({**fields, "signature": signature}))

    signal = home.reading().signal("m")

    assert signal is not None
    assert signal.generation == 3
    assert home.store.restore_signal("m") is None
    remembered = home.store.signals.remembered("m")
    assert remembered is not None
    assert remembered.signal.generation == 3


def test_a_promotion_that_could_not_be_remembered_is_remembered_later(
    home: ServingHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rename of the signal is the commit: what fails after it must not undo it."""
    third = home.make("m", 3)

    def full(*_: object) -> None:
        raise StorageUnavailable("the disk is full")

    with monkeypatch.context() as fault:
        fault.setattr(signal_store.SignalStore, "_remember", full)
        write_signal(home.store, "m", third)

    assert home.store.restore_signal("m") is None
    remembered = home.store.signals.remembered("m")
    assert remembered is not None
    assert remembered.promoted == home.store.versions("m")
    assert remembered.signal.version == third


def test_a_generation_beyond_what_is_believed_is_never_written(home: ServingHome) -> None:
    """Nobody could state a newer one."""
    with pytest.raises(ValueError, match="from 1 to 2"):
        write_signal(home.store, "m", home.make("m", 3), generation=MOST_GENERATION + 1)


# -- the home of a release that signed no signal ---------------------------------------------------


def _unsigned(directory: Path) -> tuple[ServingHome, ReloadSignal]:
    home = ServingHome(directory)
    home.publish("m", 1)
    home.publish("m", 2)
    found = home.store.signal("m")
    assert found is not None
    return home, found


def test_signals_of_before_are_believed_until_they_are_signed_once(tmp_path: Path) -> None:
    """The API may be the first to start after an upgrade, and must go on serving."""
    home, before = _unsigned(tmp_path)
    api = home.reading()
    assert api.signal("m") == before

    own = ModelStore(home.store.models_dir, signing=home.key)
    assert own.signals.sign_found({"m": own.versions("m")}) == []

    after = api.signal("m")
    assert after is not None
    assert after.signature is not None
    assert (after.generation, after.version) == (before.generation, before.version)
    assert not (home.path / "state" / MARKER_NAME).is_relative_to(home.store.models_dir)
    _changed(home.store.signal_path("m"), generation=3, signature=None)
    for store in (api, own):
        assert store.signals.sign_found({"m": []}) == []  # only once
    with pytest.raises(SignalUnreadable, match="not signed"):
        api.signal("m")


def test_what_cannot_be_a_signal_is_not_signed_with_the_others(tmp_path: Path) -> None:
    """It is named; a person removes it and rolls back to a version by its name."""
    home, _ = _unsigned(tmp_path)
    home.publish("other", 1)
    path = home.store.signal_path("m")
    _changed(path, generation=2**64 - 1)
    own = ModelStore(home.store.models_dir, signing=home.key)

    faults = own.signals.sign_found({model: own.versions(model) for model in ("m", "other")})

    assert len(faults) == 1
    assert "from 1 to 2^53" in faults[0]
    assert home.reading().signal("other") is not None
    with pytest.raises(SignalUnreadable):
        own.signal("m")
    path.unlink()
    write_signal(own, "m", own.versions("m")[0])
    assert home.reading().signal("m") is not None


def test_a_strangers_key_signs_nothing_here(home: ServingHome, tmp_path: Path) -> None:
    """A whole home copied from elsewhere is code from elsewhere."""
    stranger = SigningKey.read_or_create(tmp_path / "stranger")
    third = home.make("m", 3)
    digest = read_manifest(home.store.version_dir("m", third))[1]
    forged = ModelStore(home.store.models_dir, signing=stranger)
    path = home.store.signal_path("m")
    signal = msgspec.convert(msgspec.json.decode(path.read_bytes()), ReloadSignal)
    changed = msgspec.structs.replace(
        signal, generation=3, version=third, manifest_sha256=digest, signature=None
    )
    path.write_bytes(msgspec.json.encode(forged.signals._signed("m", changed)))

    with pytest.raises(SignalUnreadable, match="not by the trusted key"):
        home.reading().signal("m")
