"""A home with the demo data of four presets in one configuration, for looking at the console.

`python -m tests.api_service.console.demo DIRECTORY` prepares it
and leaves both daemons running until Ctrl+C.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from scripts.daemons.network import free_port
from scripts.demo import seed, servers, shop, solar
from shared.settings.root import load_settings
from tests.support.daemons import Daemon, daemon
from tests.support.waiting import wait_until

_DAYS_LEFT = (120, 90, 60, 30, 1)
"""How many days ago the workshop's visits end, before each version."""

_PAUSE_S = 0.04


class ConsoleDemo:
    """Four workloads on made-up data, polled often."""

    def __init__(self, directory: Path, port: int | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.home = directory / "home"
        self.port = port or free_port()
        self.config = directory / "hotfit.toml"
        self.parts, self.shop, self.solar = (
            directory / f"{name}.db" for name in ("parts", "shop", "solar")
        )
        self.config.write_text(
            f"""
home = "{self.home.as_posix()}"
[api]
port = {self.port}
workers = 2
[retrain]
max_parallel_runs = 2
{_sql("workshop", self.parts)}daily_read_budget = 50000
{_sql("shop", self.shop)}{_sql("roofs", self.solar)}page_size = 5000
reconcile_days = 0
[sources.fed]
kind = "feed"
poll_interval_s = 2
lag_s = 0
page_size = 5000
[models.spare_parts]
workload = "spare_parts"
source = "workshop"
[models.product_recommender]
workload = "product_recommender"
source = "shop"
[models.solar_power]
workload = "solar_power"
source = "roofs"
[models.solar_power.parameters]
time_zone = "Asia/Colombo"
[models.solar_power.triggers]
new_records = 0
every = "24h"
[models.solar_power.gate]
mode = "point"
min_days = 3
min_holdout_rows = 20
min_holdout_days = 1
[models.server_metrics]
workload = "server_metrics"
source = "fed"
[models.server_metrics.triggers]
every = "7d"
new_records = 0
[models.server_metrics.gate]
min_rows = 1000
min_days = 2
min_holdout_days = 1
mode = "point"
"""
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin_key(self) -> str:
        return (self.home / "keys" / "admin.key").read_text().split()[0]

    def fill(self) -> None:
        """Make the data of all four."""
        now = datetime.now(UTC)
        seed.fill(self.parts, until=now.date() - timedelta(days=_DAYS_LEFT[0]), now=now)
        shop.fill(self.shop, now=now)
        solar.fill(self.solar, until=solar.yesterday(now), now=now)
        servers.prepare(load_settings(self.config), now)

    @contextlib.contextmanager
    def running(self) -> Iterator[tuple[Daemon, Daemon]]:
        """Both daemons, until the block ends."""
        with (
            daemon("retrain_service", "run", config=self.config, output=self.log("retrain")) as one,
            daemon("api_service", config=self.config, output=self.log("api")) as other,
        ):
            yield one, other

    def log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request with the admin key."""
        request = urllib.request.Request(
            self.url + path,
            None if body is None else json.dumps(body).encode(),
            {"X-API-Key": self.admin_key, "Accept": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def is_served(self, n_models: int = 8) -> bool:
        """Whether so many models have a version, and all is well."""
        with contextlib.suppress(OSError, ValueError):
            health = self.ask("GET", "/health")
            served = [one for one in health["models"] if one["version"]]
            return len(served) >= n_models and not health["problems"]
        return False

    def live_a_little(self) -> None:
        """A few more versions of spare_parts, each with weeks of visits that came in, and a
        second one of the shop; all under traffic."""
        with self._steady_traffic():
            before = self.version("product_recommender")
            shop.add_visits(self.shop, 400, now=datetime.now(UTC))
            self._wait_for_another("product_recommender", before)
            for days_left in _DAYS_LEFT[1:]:
                before = self.version("spare_parts")
                now = datetime.now(UTC)
                until = now.date() - timedelta(days=days_left)
                if seed.fill(self.parts, until=until, now=now):
                    self._wait_for_another("spare_parts", before)

    @contextlib.contextmanager
    def _steady_traffic(self) -> Iterator[None]:
        """Some forecasts a second while the block runs, so that there is a latency to show."""
        stop = threading.Event()

        def ask() -> None:
            while not stop.wait(_PAUSE_S):
                self.ask("POST", "/forecast_restock_demand", {"forecast_days": 7})

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _wait_for_another(self, model: str, version: str | None) -> None:
        def has_come() -> bool:
            return self.version(model) != version

        wait_until(has_come, 120, f"another version of {model}", every_s=0.5)

    def version(self, model: str) -> str | None:
        found = self.ask("GET", f"/models/{model}")["version"]
        return None if found is None else str(found)


def _sql(name: str, path: Path) -> str:
    return f"""
[sources.{name}]
kind = "sql"
url = "sqlite:///{path.as_posix()}"
poll_interval_s = 2
lag_s = 0
"""


def main(directory: Path) -> int:
    demo = ConsoleDemo(directory, port=5660)
    demo.fill()
    with demo.running():
        print(f"starting: {demo.url}", flush=True)
        wait_until(demo.is_served, 300, "every model to be served", every_s=1)
        print("served", flush=True)
        demo.live_a_little()
        print("ready", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)
    return 0


if __name__ == "__main__":
    threading.current_thread().name = "demo"
    sys.exit(main(Path(sys.argv[1])))
