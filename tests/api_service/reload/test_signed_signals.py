"""What a worker serves when somebody has been at the signals and versions while it was away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.api_service.conftest import Serving, serving_config
from tests.support.versions import ServingHome, write_signal


@pytest.fixture
def home(tmp_path: Path) -> ServingHome:
    return ServingHome(tmp_path, is_signed=True)


def _starting(home: ServingHome) -> Serving:
    serving = Serving(home, serving_config(home.path))
    serving.tick()
    return serving


@pytest.mark.parametrize(
    "lay", [lambda path: path.unlink(), lambda path: path.write_bytes(b"{half")]
)
def test_a_worker_that_starts_without_a_signal_serves_what_was_wanted_last(
    home: ServingHome, lay: Callable[[Path], object]
) -> None:
    """Not the newest that verifies: somebody rolled back from that one, or never promoted it."""
    first, second = home.publish("m", 1), home.publish("m", 2)
    write_signal(home.store, "m", first, hold=True)
    home.make("m", 3)  # staged and named, but its signal could not be written
    lay(home.store.signal_path("m"))

    serving = _starting(home)

    assert serving.version() == first
    assert "the reload signal cannot be read" in (serving.report().degraded or "")
    home.store.restore_signal("m")
    serving.tick()
    assert serving.report().degraded is None
    assert serving.report().serving_generation == 3
    assert second in home.store.versions("m")


def test_a_version_that_was_never_promoted_is_no_way_out(home: ServingHome) -> None:
    """It holds and is the newest; but nothing ever found it good enough."""
    first, second = home.publish("m", 1), home.publish("m", 2)
    home.make("m", 3)
    (home.store.version_dir("m", second) / "model.joblib").write_bytes(b"broken")

    serving = _starting(home)

    assert serving.version() == first
    (home.store.version_dir("m", first) / "model.joblib").write_bytes(b"broken")
    assert _starting(home).version() is None


def test_a_forged_signal_is_not_followed_and_the_report_says_so(home: ServingHome) -> None:
    """A higher generation and a version that was signed once: it was believed."""
    first, second = home.publish("m", 1), home.publish("m", 2)
    serving = _starting(home)
    path = home.store.signal_path("m")
    fields = msgspec.json.decode(path.read_bytes())
    fields |= {"generation": 9, "version": first, "signature": None}
    path.write_bytes(msgspec.json.encode(fields))

    serving.tick()

    assert serving.version() == second
    assert "not signed" in (serving.report().degraded or "")
