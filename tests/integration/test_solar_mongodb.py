"""Solar power as its page describes it: readings in MongoDB, models served, runs beside them."""

from __future__ import annotations

import contextlib
import json
import re
import urllib.request
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pymongo
import pytest
from pymongo.errors import OperationFailure

from scripts.daemons.network import free_port
from tests.shared.workloads.roof import days_of_sun
from tests.support.daemons import ROOT, daemon
from tests.support.mongodb import MongoServer
from tests.support.waiting import wait_until

DEVICES = ("inverter-1", "Dach Süd")


def documented_configuration(url: str, home: Path) -> str:
    """The configuration of the page, on another server and in a hurry."""
    page = (ROOT / "docs" / "solar-power.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    block = re.sub(r'"mongodb://\w+:password@localhost:27017/plant"', f'"{url}"', block)
    assert block.count(url) == 2
    hurry = "poll_interval_s = 0.2\npage_size = 5000\nlag_s = 0\n"
    return f'home = "{home.as_posix()}"\n' + block.replace("\n[models.", f"\n{hurry}[models.", 1)


@pytest.mark.slow
def test_readings_in_mongodb_become_a_model_per_device_and_runs_beside_them(
    mongodb_server: MongoServer, tmp_path: Path
) -> None:
    """The whole way of a plant whose application knows nothing but its own database."""
    url = f"mongodb://127.0.0.1:{mongodb_server.port}/plant"
    config = tmp_path / "hotfit.toml"
    config.write_text(documented_configuration(url, tmp_path / "home"), encoding="utf-8")
    port = free_port()
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        plant = client["plant"]
        for i, device in enumerate(DEVICES):
            readings = days_of_sun(5, every_min=5, seed=i)
            for each in readings:
                each |= {
                    "timestamp": datetime.fromisoformat(each["timestamp"]),
                    "device_id": device,
                }
            plant["readings"].insert_many(readings)

        def mirrored() -> list[dict[str, Any]]:
            with contextlib.suppress(OperationFailure):  # busy: somebody writes
                return list(plant["model_runs"].find({}))
            return []

        with daemon("retrain_service", "run", config=config, output=tmp_path / "retrain.log"):
            wait_until(lambda: len(mirrored()) == 2, 90, "two runs in model_runs")
            found = {run["device_id"]: run for run in mirrored()}
            with daemon(
                "api_service",
                config=config,
                output=tmp_path / "api.log",
                environment={"HOTFIT_API__PORT": str(port)},
            ):
                sent = days_of_sun(5)[-5:]
                for each in sent:
                    each["device_id"] = "Dach Süd"
                address = f"http://127.0.0.1:{port}/models/solar_power/dach-s-d-08683a/predict"
                body = json.dumps({"readings": sent}).encode()
                answers: list[dict[str, Any]] = []

                def is_answered() -> bool:
                    with (
                        contextlib.suppress(OSError),
                        urllib.request.urlopen(address, data=body, timeout=5) as answer,
                    ):
                        answers.append(json.load(answer))
                    return bool(answers)

                wait_until(is_answered, 60, "a forecast")

    assert set(found) == set(DEVICES)
    for run in found.values():
        assert run["promoted"], run
        assert (run["status"], run["days_used"]) == ("succeeded", 5)
        assert run["train_samples"] + run["test_samples"] == run["rows_used"] == 5 * 288 - 3
        assert run["mae"] < run["rmse"]
        assert 0 < run["r2"] < 1
    newest = datetime.fromisoformat(sent[-1]["timestamp"])
    due = datetime.fromisoformat(answers[0]["forecast"]["timestamp"])
    assert due - newest == timedelta(minutes=15)
    assert answers[0]["device_id"] == "Dach Süd"
    assert answers[0]["forecast"]["power_w"] >= 0
