"""Both daemons on one home whose models somebody else can write: after an upgrade, and attacked."""

from __future__ import annotations

import os
import random
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import joblib
import msgspec
import pytest

from scripts.daemons.network import free_port
from shared.exchange.json_files import SignalUnreadable
from shared.exchange.reload_signal import ReloadSignal
from shared.versions.model_store import ModelStore
from tests.support.asking import ask
from tests.support.commands import command
from tests.support.daemons import MeanHome, daemon
from tests.support.waiting import wait_until

ATTACK_S = 3.0


class Place(MeanHome):
    """With a port for the API, and what can be seen from outside."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        api = f"[api]\nport = {self.port}\nworkers = 1\nreconcile_interval_s = 0.2\n"
        super().__init__(directory, f"every = '0s'\nnew_records = 10\n{api}")
        self.add_rows(100)
        self.path = ModelStore(self.home / "models").signal_path("m")

    def written(self) -> ReloadSignal | None:
        try:
            return ModelStore(self.home / "models").signal("m")
        except SignalUnreadable:
            return None

    def served(self) -> tuple[int, str]:
        """Generation and version that answer; (-1, "") where none does."""
        question = {"instances": [{"weekday": 1}]}
        try:
            status, answer = ask(self.port, "POST", "/models/m/predict", question)
        except OSError:
            return -1, ""
        return (answer["generation"], answer["version"]) if status == 200 else (-1, "")

    def serves(self, generation: int) -> bool:
        return self.served()[0] == generation


def _without_signature(place: Place) -> None:
    """The home as a release left it that signed no signal."""
    fields = msgspec.json.decode(place.path.read_bytes())
    del fields["signature"]
    place.path.write_bytes(msgspec.json.encode(fields))
    shutil.rmtree(place.home / "state")


@pytest.mark.slow
def test_a_home_of_before_is_served_signed_once_and_then_holds(tmp_path: Path) -> None:
    """The API may start first; afterwards nobody can turn believing unsigned signals on again."""
    place = Place(tmp_path)
    assert command(place, "once", "--model", "m").returncode == 0
    _without_signature(place)

    with daemon("api_service", config=place.config, output=tmp_path / "api.log"):
        wait_until(lambda: place.serves(1), 60, "the API to serve what was not signed")
        with daemon("retrain_service", "run", config=place.config, output=tmp_path / "t.log") as t:
            wait_until(
                lambda: (found := place.written()) is not None and found.signature is not None,
                60,
                f"the signal to be signed: {t.output()[-1000:]}",
            )
            signed = place.path.read_bytes()
            forged = msgspec.json.decode(signed) | {"generation": 2**64 - 1, "signature": None}
            place.path.write_bytes(msgspec.json.encode(forged))

            wait_until(lambda: place.path.read_bytes() == signed, 60, "the signal to be put back")
            assert place.serves(1)
            place.add_rows(20)
            wait_until(lambda: place.serves(2), 60, "the next version")
            assert t.stop() == 0
        place.path.write_bytes(signed)  # an old one, put back while nobody looks after it
        time.sleep(1)  # several looks of the API
        assert place.serves(2)
    with daemon("api_service", config=place.config, output=tmp_path / "api.log"):
        second = ModelStore(place.home / "models").versions("m")[-1]
        wait_until(lambda: place.served()[1] == second, 60, "the API to serve what was wanted last")
    # A person says what is wanted, and it is.
    back = command(place, "rollback", "--model", "m", "--to", _first(place))
    assert back.returncode == 0, back.stderr
    found = place.written()
    assert found is not None
    assert (found.generation, found.version, found.hold) == (3, _first(place), True)


def _first(place: Place) -> str:
    return ModelStore(place.home / "models").versions("m")[0]


class _Intruder:
    """What leaves a trace when somebody unpickles it."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self._trace,))


def _exchange(place: Place, foreign: bytes, until: threading.Event, chance: random.Random) -> None:
    """At random: another's bytes in place of a file and back, pipes, links, old signals."""
    models, seen = place.home / "models", place.path.read_bytes()
    while not until.is_set():
        files = [path for path in models.rglob("*") if path.is_file() and not path.is_symlink()]
        if not files:
            continue
        path = chance.choice(files)
        try:
            before = path.read_bytes()
            beside = path.with_name(f".exchanged-{chance.random()}")
            what = chance.choice(("bytes", "bytes", "pipe", "link", "old"))
            if what == "pipe":
                os.mkfifo(beside)
            elif what == "link":
                beside.symlink_to("/dev/zero")
            else:
                beside.write_bytes(seen if what == "old" else foreign.ljust(len(before), b"\0"))
            beside.replace(path)
            time.sleep(chance.random() * 0.005)
            if path.name != place.path.name:
                beside.write_bytes(before)
                beside.replace(path)
        except OSError:
            continue  # it was just taken away


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="lays pipes and links")
def test_files_exchanged_at_random_are_neither_served_nor_signed(tmp_path: Path) -> None:
    """Verified and opened were two reads, and versions were staged where others could write."""
    place = Place(tmp_path)
    assert command(place, "once", "--model", "m").returncode == 0
    trace = tmp_path / "the intruder was here"
    joblib.dump(_Intruder(trace), tmp_path / "foreign")
    over, seed = threading.Event(), 7
    arguments = (place, (tmp_path / "foreign").read_bytes(), over, random.Random(seed))
    intruder = threading.Thread(target=_exchange, args=arguments)
    with (
        daemon("retrain_service", "run", config=place.config, output=tmp_path / "t.log") as t,
        daemon("api_service", config=place.config, output=tmp_path / "api.log") as api,
    ):
        wait_until(lambda: place.serves(1), 60, "the first version")
        intruder.start()
        deadline = time.monotonic() + float(os.environ.get("HOTFIT_ATTACK_S", ATTACK_S))
        while time.monotonic() < deadline:
            place.add_rows(10)
            place.served()
            time.sleep(0.3)
        over.set()
        intruder.join(30)
        assert not trace.exists()
        before = len(place.runs())
        place.add_rows(10)

        wait_until(lambda: len(place.runs()) > before, 60, f"a run: {t.output()[-1500:]}")
        wait_until(
            lambda: (found := place.written()) is not None and place.serves(found.generation),
            60,
            f"the wanted version to be served: {api.output()[-1500:]}",
        )
        assert (t.is_running, api.is_running) == (True, True)
    assert not trace.exists()
