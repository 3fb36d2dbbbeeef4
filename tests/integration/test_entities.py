"""One model per entity: discovered, trained, kept and served each on its own."""

from __future__ import annotations

import contextlib
import itertools
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.daemons.network import free_port
from shared.run_log.run import RunStatus
from shared.versions.model_store import ModelStore
from tests.support.daemons import Daemon, MeanHome, daemon
from tests.support.waiting import wait_until

DEVICES = {"inverter-1": 5.0, "Dach Süd": 50.0, "inverter-3": 500.0}
NAMES = {
    "inverter-1": "m/inverter-1",
    "Dach Süd": "m/dach-s-d-08683a",
    "inverter-3": "m/inverter-3",
}


@pytest.fixture
def place(tmp_path: Path) -> MeanHome:
    made = MeanHome(tmp_path, workload="mean_per_device")
    for device, value in DEVICES.items():
        made.add_rows(60, value=value, device=device)
    return made


@contextlib.contextmanager
def retraining(place: MeanHome) -> Iterator[Daemon]:
    output = place.config.with_name("retrain.log")
    with daemon("retrain_service", "run", config=place.config, output=output) as running:
        yield running


def promoted(place: MeanHome) -> list[str]:
    return [run.model for run in place.runs() if run.promoted]


def test_every_entity_of_the_data_gets_a_model_of_its_own(place: MeanHome) -> None:
    """One daemon, any number of devices; no list of them anywhere in the configuration."""
    with retraining(place) as running:
        wait_until(lambda: len(promoted(place)) == 3, 60, "three models")
        place.add_rows(60, value=7.0, device="new-one")
        wait_until(lambda: "m/new-one" in promoted(place), 60, "the model of a new device")
        place.add_rows(12, value=5.0, device="inverter-1")
        wait_until(lambda: promoted(place).count("m/inverter-1") == 2, 60, "its second version")
        assert running.stop() == 0

    store = ModelStore(place.home / "models")
    assert store.model_names() == sorted([*NAMES.values(), "m/new-one"])
    assert {name: len(store.versions(name)) for name in store.model_names()} == {
        "m/inverter-1": 2,
        "m/dach-s-d-08683a": 1,
        "m/inverter-3": 1,
        "m/new-one": 1,
    }
    for device, value in DEVICES.items():
        assert (
            store.manifest(NAMES[device], store.versions(NAMES[device])[0]).metrics["candidate"][
                "mae"
            ]
            < value
        )


def test_at_most_so_many_runs_go_on_at_a_time(place: MeanHome) -> None:
    """Five hundred devices that come due at once must not take the machine down."""
    with retraining(place) as running:
        wait_until(lambda: len(promoted(place)) == 3, 60, "three models")
        running.stop()

    spans = sorted(
        (run.started_at, run.finished_at)
        for run in place.runs()
        if run.started_at is not None and run.finished_at is not None
    )
    assert len(spans) == 3
    assert all(ended <= began for (_, ended), (began, _) in itertools.pairwise(spans))


def test_an_entity_without_enough_data_holds_up_nobody(place: MeanHome) -> None:
    """A small device can never replace or block a large one."""
    place.add_rows(3, device="tiny")

    with retraining(place) as running:
        wait_until(lambda: len(promoted(place)) == 3, 60, "the models of the others")
        wait_until(
            lambda: any(
                run.model == "m/tiny" and run.status is RunStatus.SUCCEEDED for run in place.runs()
            ),
            60,
            "the verdict on the small one",
        )
        running.stop()

    tiny = next(run for run in place.runs() if run.model == "m/tiny")
    assert not tiny.promoted
    assert "not enough data" in (tiny.verdict or "")


def test_each_entity_is_served_under_its_own_name(place: MeanHome) -> None:
    """`POST /models/<model>/<entity>/predict`."""
    port = free_port()
    with retraining(place):
        wait_until(lambda: len(promoted(place)) == 3, 60, "three models")
        with daemon(
            "api_service",
            config=place.config,
            output=place.config.with_name("api.log"),
            environment={"HOTFIT_API__PORT": str(port)},
        ):

            def answer(path: str, body: bytes | None = None) -> dict[str, object]:
                with contextlib.suppress(OSError):
                    url = f"http://127.0.0.1:{port}{path}"
                    with urllib.request.urlopen(url, data=body, timeout=5) as response:
                        found: dict[str, object] = json.load(response)
                        return found
                return {}

            wait_until(lambda: answer("/health").get("status") == "ok", 60, "a healthy API")
            rows = json.dumps({"instances": [{"weekday": 1}]}).encode()

            answers = {
                device: answer(f"/models/{name}/predict", rows) for device, name in NAMES.items()
            }

    for device, value in DEVICES.items():
        predictions = answers[device]["predictions"]
        assert isinstance(predictions, list)
        assert predictions[0] == pytest.approx(value + 1, abs=0.1)
        assert answers[device]["model"] == NAMES[device]
