"""Presets: each is a configuration that works, with data to look at, started by its name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from scripts import control
from scripts.daemons import preset
from scripts.daemons.preset import Preset
from scripts.daemons.start import questions, what_to_try
from shared.errors import SettingsInvalid
from shared.settings.root import load_settings
from shared.workloads import REGISTRY, open_workload
from shared.workloads.defaults import gate_of
from tests.scripts.site import Site

NOW = datetime(2026, 11, 21, 10, 30, tzinfo=UTC)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory of the test's own; settings of a preset are read from there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOTFIT_CONFIG", raising=False)
    yield tmp_path
    os.environ.pop("HOTFIT_CONFIG", None)


@pytest.mark.parametrize("name", preset.names())
def test_every_preset_is_a_configuration_of_its_workload(name: str, elsewhere: Path) -> None:
    """It is the example that people copy from."""
    settings = load_settings(Preset(name).config)

    for model in settings.models.values():
        workload = open_workload(model.workload, model.parameters)
        assert set(model.streams) <= {stream.name for stream in workload.streams}
    assert {model.workload for model in settings.models.values()} <= set(REGISTRY)


def test_presets_do_not_share_a_home(elsewhere: Path) -> None:
    """Two that were tried one after the other must not mix their models and runs."""
    homes = [load_settings(Preset(name).config).home for name in preset.names()]

    assert len(set(homes)) == len(homes)


@pytest.mark.parametrize("name", sorted(preset.DEMO_DATA))
def test_demo_data_is_filled_once_and_can_be_asked_about(name: str, elsewhere: Path) -> None:
    """One command and there is something to see; the second start adds nothing."""
    settings = load_settings(Preset(name).config)
    demo = Preset(name).demo_data()
    assert demo is not None

    first, second = (demo.prepare(settings, NOW) for _ in range(2))

    assert first is not None
    assert second is None
    lines = what_to_try(settings, questions(settings, Preset(name), NOW))
    assert len(lines) >= 3
    assert all(line.startswith("curl -s http://127.0.0.1:5000/") for line in lines)


def test_all_demo_data_belongs_to_a_preset() -> None:
    """And what runs without a configuration is one of them."""
    assert set(preset.DEMO_DATA) <= set(preset.names())
    assert preset.DEFAULT in preset.DEMO_DATA


def test_the_gate_of_solar_power_fits_its_week(elsewhere: Path) -> None:
    """Seven days with a gate that asks for fourteen would never train."""
    model = load_settings(Preset("solar_power").config).models["solar_power"]

    gate = gate_of(model)

    assert gate.min_rows == 100
    assert gate.min_days <= model.parameters["history_days"] == 7
    assert gate.min_holdout_days <= 2
    assert gate.max_regression == 0.10
    assert model.triggers.cron == ("30 18 * * *",)
    assert model.triggers.time_zone == "Asia/Colombo"


def test_a_preset_that_is_asked_for_is_what_the_daemons_read(elsewhere: Path) -> None:
    """The environment carries it to them."""
    place = control.find_place("solar_power")

    assert place.preset == Preset("solar_power")
    assert os.environ["HOTFIT_CONFIG"] == str(Preset("solar_power").config)
    assert set(place.settings.models) == {"solar_power"}
    assert place.preset.option == " --preset solar_power"


def test_two_configurations_at_a_time_are_refused(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever won, somebody would be surprised."""
    monkeypatch.setenv("HOTFIT_CONFIG", "mine.toml")

    with pytest.raises(SettingsInvalid, match="both name a configuration"):
        control.find_place("solar_power")


@pytest.mark.parametrize("command", ["start", "stop", "status"])
def test_an_unknown_preset_is_told_which_there_are(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A typo costs one line, not a look into a folder."""
    with pytest.raises(SystemExit) as ended:
        control.main([command, "--preset", "solar"])

    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert all(name in said for name in preset.names())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site.copy_to(tmp_path_factory.mktemp("preset"))
    yield site
    site.run("stop.sh", "--preset", "solar_power")
    for process in site.processes():
        process.kill()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="runs the .sh scripts")
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_one_command_serves_five_devices_that_can_be_asked_as_printed(site: Site) -> None:
    """Start, paste, stop: the first two minutes with system of one's own kind."""
    started = site.run("start.sh", "--preset", "solar_power", timeout_s=330)

    assert started.returncode == 0, started.stdout + started.stderr
    assert "Hotfit is ok" in started.stdout
    assert "Stop: scripts/stop.sh --preset solar_power" in started.stdout
    told_health, forecast, models = [_answer(line) for line in _curl_lines(started.stdout)]
    assert told_health["status"] == "ok"
    assert forecast["model"] == "solar_power/roof-01"
    assert 0 < forecast["forecast"]["power_w"] < 320
    assert {each["name"] for each in models["models"]} == {
        "solar_power/roof-01",
        "solar_power/roof-02",
        "solar_power/garage",
        "solar_power/carport",
        "solar_power/canteen-east-cb100f",
    }
    status = site.run("status.sh", "--preset", "solar_power")
    assert status.returncode == 0
    assert site.run("status.sh").returncode == 3, "the default preset has a home of its own"
    assert site.run("stop.sh", "--preset", "solar_power").returncode == 0
    assert site.processes() == []


def _curl_lines(printed: str) -> list[str]:
    return [line.strip() for line in printed.splitlines() if line.startswith("  curl ")]


def _answer(line: str) -> dict[str, Any]:
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=30)
    found: dict[str, Any] = json.loads(done.stdout)
    return found
