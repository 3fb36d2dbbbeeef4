"""Five systems in one pair of daemons: each trained, served, retrained by its own trigger and
swapped, while clients ask. The engine knows none of them."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from api_service.status.workers import live_reports
from scripts.daemons.network import free_port
from scripts.demo import seed, servers, shop, solar, solar_park
from shared.run_log.run import Run
from shared.settings.root import load_settings
from tests.support.asking import ask
from tests.support.daemons import daemon, runs_in
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

DEVICES = ("roof-01", "roof-02")
TRIGGERS = {
    "product_recommender": "cron",
    **{f"solar_power/{device}": "cron" for device in DEVICES},
    "product_similarity": "event",
    "server_metrics": "every",
    "spare_parts": "new_records",
}
"""Model -> the trigger of its own, which has to bring the second version."""


@dataclass
class FiveSystems:
    """One home with five models, the databases of their applications, and how to ask them."""

    folder: Path
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.home = self.folder / "home"
        self.config = self.folder / "hotfit.toml"
        self.config.write_text(self._settings())

    def database(self, name: str) -> Path:
        return self.folder / f"{name}.db"

    def _settings(self) -> str:
        """Triggers are shortened; a wide gate, for here versions have to change, not to improve."""
        sources = "".join(
            f'[sources.{name}]\nkind = "sql"\nurl = "sqlite:///{self.database(name).as_posix()}"\n'
            "poll_interval_s = 0.5\nlag_s = 0\npage_size = 5000\nreconcile_days = 0\n"
            for name in ("workshop", "plant", "shop")
        )
        return f"""
home = "{self.home.as_posix()}"
[retrain]
tick_interval_s = 0.1
max_parallel_runs = 2
[api]
port = {self.port}
workers = 2
{sources}
[sources.fed]
kind = "feed"
poll_interval_s = 0.5
lag_s = 0
page_size = 5000
[models.product_recommender]
workload = "product_recommender"
source = "shop"
[models.product_recommender.triggers]
min_interval = "0s"
cron = "* * * * *"
new_records = 0
every = "0s"
[models.solar_power]
workload = "solar_power"
source = "plant"
[models.solar_power.parameters]
time_zone = "Asia/Colombo"
[models.solar_power.triggers]
min_interval = "0s"
cron = "* * * * *"
time_zone = "Asia/Colombo"
new_records = 0
every = "0s"
[models.solar_power.gate]
mode = "point"
max_regression = 0.5
min_rows = 100
min_days = 3
min_holdout_rows = 20
min_holdout_days = 1
[models.product_similarity]
workload = "product_similarity"
source = "shop"
[models.product_similarity.triggers]
min_interval = "0s"
debounce = "1s"
max_wait = "5s"
new_records = 0
every = "0s"
[models.server_metrics]
workload = "server_metrics"
source = "fed"
[models.server_metrics.triggers]
min_interval = "0s"
every = "20s"
new_records = 0
[models.server_metrics.gate]
mode = "point"
max_regression = 0.5
min_rows = 1000
min_days = 2
min_holdout_days = 1
[models.server_metrics.training]
incremental = true
[models.spare_parts]
workload = "spare_parts"
source = "workshop"
[models.spare_parts.triggers]
min_interval = "0s"
new_records = 10
new_records_share = 0
every = "0s"
[models.spare_parts.gate]
max_regression = 0.5
"""

    def fill(self, now: datetime) -> None:
        """Small synthetic data for all of them."""
        seed.fill(self.database("workshop"), until=now.date() - timedelta(days=1), now=now)
        day_before = solar.yesterday(now) - timedelta(days=1)  # room for later readings
        solar.fill(self.database("plant"), until=day_before, now=now)
        shop.fill(self.database("shop"), now=now)
        servers.prepare(load_settings(self.config), now)

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        return ask(self.port, method, path, body, headers)

    def questions(self) -> dict[str, tuple[str, str, Any]]:
        """Model -> what its clients ask."""
        readings = {
            device: solar.newest_by_day(self.database("plant"), device, 2) for device in DEVICES
        }
        return {
            "product_recommender": ("GET", "/api/recommendations/user/u003?n=5", None),
            **{
                f"solar_power/{device}": (
                    "POST",
                    f"/models/solar_power/{device}/predict",
                    {"readings": readings[device]},
                )
                for device in DEVICES
            },
            "product_similarity": (
                "GET",
                "/recommendations/product/p003?model=product_similarity",
                None,
            ),
            "server_metrics": ("GET", "/predictions/current", None),
            "spare_parts": ("POST", "/forecast_restock_demand", {"forecast_days": 7}),
        }

    def feed_key(self) -> dict[str, str]:
        return {"X-API-Key": (self.home / "keys" / "feed.key").read_text().strip()}

    def feed_rows(self) -> None:
        """What an agent on each server sends now and then."""
        at = datetime.now(UTC).isoformat()
        rows = [
            {"server": one.name, "timestamp": at, "cpu": one.cpu, "memory": one.memory, "disk": 50}
            for one in servers.SERVERS
        ]
        status, answer = self.ask("POST", "/feed/data", rows, self.feed_key())
        assert status == 200, answer

    def new_data(self) -> dict[str, Callable[[], None]]:
        """Model -> what its application does after its first version serves."""

        def add_readings() -> None:
            assert solar.add(self.database("plant"), 12, now=datetime.now(UTC))

        def add_products() -> None:
            shop.add_products(self.database("shop"), 3, now=datetime.now(UTC))
            for _ in range(5):  # a burst
                status, answer = self.ask("POST", "/train", None, self.feed_key())
                assert status == 202, answer

        def add_visits() -> None:
            shop.add_visits(self.database("shop"), 20, now=datetime.now(UTC))

        def add_appointments() -> None:
            seed.add(self.database("workshop"), 12, now=datetime.now(UTC))

        return {
            "product_recommender": add_visits,
            **{f"solar_power/{device}": add_readings for device in DEVICES},
            "product_similarity": add_products,
            "server_metrics": self.feed_rows,
            "spare_parts": add_appointments,
        }

    def served(self) -> dict[str, int]:
        """Model -> generation that every worker serves at least; 0 while one does not."""
        reports = live_reports(self.home / "reports")
        return {
            model: min(
                (
                    (found.serving_generation or 0)
                    if (found := report.models.get(model)) is not None
                    else 0
                    for report in reports
                ),
                default=0,
            )
            for model in TRIGGERS
        }

    def runs(self, model: str) -> list[Run]:
        return runs_in(self.home, model)

    def told(self) -> dict[str, list[tuple[str, str, str | None, str | None]]]:
        """Model -> its runs, for whoever asks why a test failed."""
        return {
            model: [(run.trigger, run.status, run.verdict, run.error) for run in self.runs(model)]
            for model in TRIGGERS
        }


@dataclass
class Load:
    """What light, steady requests saw of each model."""

    asking: set[str] = field(default_factory=set)
    versions: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    n_answered: int = 0
    failures: list[str] = field(default_factory=list)


@contextlib.contextmanager
def light_load(systems: FiveSystems) -> Iterator[Load]:
    """Ask every model that serves, one after the other, until the block ends."""
    load, stop, questions = Load(), threading.Event(), systems.questions()

    def ask_all_the_time() -> None:
        while not stop.wait(0.02):
            for model in sorted(load.asking):
                try:
                    status, answer = systems.ask(*questions[model])
                except (OSError, http.client.HTTPException, ValueError) as error:
                    load.failures.append(f"{model}: {error!r}")
                    continue
                load.n_answered += 1
                if status != 200 or answer["model"] != model:
                    load.failures.append(f"{model}: {status} {answer}"[:300])
                else:
                    load.versions[model].add(answer["version"])

    thread = threading.Thread(target=ask_all_the_time, daemon=True)
    thread.start()
    try:
        yield load
    finally:
        stop.set()
        thread.join(30)


@pytest.fixture
def systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FiveSystems:
    own = tuple(device for device in solar_park.DEVICES if device.id in DEVICES)
    monkeypatch.setattr(solar, "DEVICES", own)
    monkeypatch.setattr(servers, "SERVERS", servers.SERVERS[:2])
    found = FiveSystems(tmp_path)
    found.fill(datetime.now(UTC))
    return found


def test_five_systems_train_serve_retrain_by_their_own_triggers_and_swap(
    systems: FiveSystems, tmp_path: Path
) -> None:
    """One engine, no special case: what holds for one model holds for five at once."""
    new_data = systems.new_data()
    api_log, retrain_log = tmp_path / "api.log", tmp_path / "retrain.log"
    with (
        daemon("retrain_service", "run", config=systems.config, output=retrain_log) as retrain,
        daemon("api_service", config=systems.config, output=api_log) as api,
    ):
        with light_load(systems) as load:

            def all_swapped() -> bool:
                assert retrain.is_running, retrain.output()[-3000:]
                assert api.is_running, api.output()[-3000:]
                served = systems.served()
                for model in [each for each in new_data if served[each]]:
                    load.asking.add(model)
                    new_data.pop(model)()
                return min(served.values()) >= 2

            try:
                wait_until(all_swapped, 240, "a second version of each", every_s=0.2)
            except AssertionError as error:
                raise AssertionError(f"{error}\n{systems.served()}\n{systems.told()}") from None
            enough = load.n_answered + 3 * len(TRIGGERS)
            wait_until(lambda: load.n_answered > enough, 20, "answers of the new versions")
        reports = live_reports(systems.home / "reports")
        assert api.stop() == 0
        assert retrain.stop() == 0

    assert load.failures == []
    for model, trigger in TRIGGERS.items():
        assert len(load.versions[model]) >= 2, f"{model}: {load.versions[model]}"
        promoted = [run for run in systems.runs(model) if run.promoted]
        assert trigger in {run.trigger for run in promoted}, f"{model}: {promoted}"
        for report in reports:
            receipt = report.models[model].receipt
            assert receipt is not None
            assert receipt.requests_failed == 0
    assert "Traceback" not in api_log.read_text()
    assert "Traceback" not in retrain_log.read_text()
