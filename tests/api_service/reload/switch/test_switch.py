"""Two workers' reload managers and the coordinator between them, on real lines and versions."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import pytest

from api_service.reload.switch.channel import SwitchChannel
from api_service.reload.switch.coordinator import SwitchCoordinator
from api_service.reload.switch.shared_generations import SharedGenerations
from api_service.reload_manager import ReloadManager
from api_service.serving_slot import ServingTable
from shared.keys.signing import VerifyKey
from shared.versions.manifest import MODEL_NAME
from tests.api_service.conftest import NOW, serving_config
from tests.support.versions import ServingHome, write_signal
from tests.support.waiting import wait_until


class Side:
    """One worker without its process: a line, a table, a reload manager."""

    def __init__(
        self, home: ServingHome, coordinator: SwitchCoordinator, generations: SharedGenerations
    ) -> None:
        ours, self._theirs = Pipe()
        self.is_ended = False
        coordinator.add(ours, self._end)
        self.table = ServingTable()
        channel = SwitchChannel(self._theirs, generations)
        channel.start(lambda: None)
        self.manager = ReloadManager(
            home.store,
            self.table,
            partial(VerifyKey.read, serving_config(home.path).public_key_path),
            drain_timeout_s=1.0,
            configured=["m"],
            channel=channel,
        )

    def _end(self) -> None:
        self.is_ended = True
        self.die()

    def die(self) -> None:
        """What its process's end does to the line."""
        _shut_down(self._theirs)

    def tick(self) -> None:
        self.manager.tick(NOW)

    @property
    def version(self) -> str | None:
        live = self.table.slot("m").current()
        return live.version if live else None


def _shut_down(connection: Connection) -> None:
    with socket.socket(fileno=connection.fileno()) as sock:
        sock.shutdown(socket.SHUT_RDWR)
        sock.detach()


class Pair:
    def __init__(self, home: ServingHome, timeout_s: float = 30.0) -> None:
        self.generations = SharedGenerations()
        self.coordinator = SwitchCoordinator(self.generations, timeout_s)
        self.coordinator.start()
        self.home = home
        self.a, self.b = self.side(), self.side()

    def side(self) -> Side:
        return Side(self.home, self.coordinator, self.generations)

    def both_serve(self, version: str) -> None:
        def handled_signal() -> bool:
            self.a.tick()
            self.b.tick()
            return self.a.version == self.b.version == version

        wait_until(handled_signal, 20, f"{version} on both sides", every_s=0.01)
        self.a.tick()  # what serves is one thing, what is said of it another


@pytest.fixture
def pair(home: ServingHome) -> Iterator[Pair]:
    made = Pair(home)
    yield made
    made.a.die()
    made.b.die()


def test_a_warm_version_waits_until_the_other_worker_has_it_warm(
    home: ServingHome, pair: Pair
) -> None:
    """The whole point: nobody answers with the new one before everybody can."""
    first = home.publish("m", 1)
    pair.both_serve(first)

    second = home.publish("m", 2)
    pair.a.tick()

    assert (pair.a.version, pair.b.version) == (first, first)
    assert pair.a.manager.reports["m"].prepared == 2
    assert pair.a.manager.reports["m"].state == "warming"

    pair.b.tick()
    wait_until(lambda: pair.a.version == second, 20, "the switch", every_s=0.001)
    assert pair.b.version == second, "at the same instant, whoever looks later"
    pair.a.tick()
    receipt = pair.a.manager.reports["m"].receipt
    assert receipt is not None
    assert receipt.wait_ms > 0
    assert pair.a.manager.reports["m"].prepared is None


def test_what_one_worker_cannot_open_the_other_does_not_serve(
    home: ServingHome, pair: Pair
) -> None:
    """Answers by two versions in turn are worse than the old one for all."""
    first = home.publish("m", 1)
    pair.both_serve(first)
    bad = home.publish("m", 2)
    pair.a.tick()
    (home.store.version_dir("m", bad) / MODEL_NAME).write_bytes(b"damaged since")

    pair.b.tick()

    def refused() -> bool:
        pair.a.tick()
        return f"{bad} generation 2" in pair.a.manager.reports["m"].quarantined

    wait_until(refused, 20, "the refusal")
    assert (pair.a.version, pair.b.version) == (first, first)
    assert pair.a.manager.reports["m"].prepared is None
    pair.both_serve(home.publish("m", 3))


def test_a_newer_version_lets_the_waiting_one_go(home: ServingHome, pair: Pair) -> None:
    """Only the newest wish counts; the one that waits is no obstacle."""
    first = home.publish("m", 1)
    pair.both_serve(first)
    home.publish("m", 2)
    pair.a.tick()

    third = home.publish("m", 3)

    pair.both_serve(third)


def test_a_worker_that_is_late_is_ended_and_the_other_goes_on(home: ServingHome) -> None:
    """A worker that hangs must not keep everybody on the old version."""
    pair = Pair(home, timeout_s=0.1)
    pair.both_serve(home.publish("m", 1))

    second = home.publish("m", 2)
    pair.a.tick()

    wait_until(lambda: pair.a.version == second, 20, "the switch without the other")
    assert pair.b.is_ended
    pair.a.die()


def test_a_worker_that_starts_later_begins_where_the_others_are(
    home: ServingHome, pair: Pair
) -> None:
    """A replacement must not be ahead of the others while they wait for it."""
    first = home.publish("m", 1)
    pair.both_serve(first)
    second = home.publish("m", 2)
    pair.a.tick()

    late = pair.side()
    late.tick()
    assert late.version == first
    pair.b.tick()
    assert pair.a.version == first, "the third is not ready"
    late.tick()

    wait_until(lambda: late.version == second, 20, "the switch")
    assert (pair.a.version, pair.b.version) == (second, second)
    late.die()


def test_a_rollback_is_a_switch_like_any_other(home: ServingHome, pair: Pair) -> None:
    """Back means a higher generation that names an older version."""
    first = home.publish("m", 1)
    pair.both_serve(first)
    pair.both_serve(home.publish("m", 2))

    write_signal(home.store, "m", first, hold=True)

    pair.both_serve(first)
    live = pair.a.table.slot("m").current()
    assert live is not None
    assert live.generation == 3


def test_a_cold_start_with_a_broken_wanted_version_is_the_same_in_both(
    home: ServingHome, pair: Pair
) -> None:
    """Both find the same way out, and leave it together."""
    good = home.publish("m", 1)
    bad = home.publish("m", 2)
    (home.store.version_dir("m", bad) / MODEL_NAME).unlink()

    pair.both_serve(good)

    for side in (pair.a, pair.b):
        side.tick()
        assert "quarantined" in (side.manager.reports["m"].degraded or "")
    pair.both_serve(home.publish("m", 3))
    assert pair.a.manager.reports["m"].degraded is None


def test_the_answer_to_ones_own_question_is_no_reason_to_look_again() -> None:
    """A worker with nothing to serve asks at each look what the others do: it would never rest."""
    generations = SharedGenerations()
    coordinator = SwitchCoordinator(generations, 30.0)
    coordinator.start()
    ours, theirs = Pipe()
    coordinator.add(ours, lambda: None)
    channel, woken = SwitchChannel(theirs, generations), threading.Event()
    channel.start(woken.set)

    assert channel.register("m") is None
    assert channel.register("m") is None
    assert channel.n_messages == 2
    assert not woken.is_set()

    channel.failed("m", ("v000001-20261121T080000Z", 1), "it is broken")
    wait_until(woken.is_set, 20, "to be woken by what is news")
    _shut_down(theirs)
