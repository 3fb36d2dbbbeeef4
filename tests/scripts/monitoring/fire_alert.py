"""Fire alerts for real: `python -m tests.scripts.monitoring.fire_alert`; takes about a minute.

Both daemons run and train; Debian's Prometheus scrapes them under the rules that we ship, its
alert manager tells a webhook. Then the retrain daemon is killed, workers are killed, a version
is damaged and the API is stopped; each must be told, and its end too. Only the clock differs
from what is shipped: conditions must hold for a second, not for minutes.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from api_service.status.workers import live_reports
from scripts.daemons.network import free_port
from shared.exchange.reload_signal import ReloadSignal
from shared.keys.signing import SigningKey
from shared.versions.model_store import ModelStore
from shared.versions.model_version import ModelVersion
from tests.support import prometheus
from tests.support.daemons import Daemon, MeanHome, daemon
from tests.support.receiver import Receiver, receiver
from tests.support.waiting import wait_until

HOLDS_S = 1
SCRAPED_EVERY = "500ms"


class Scene:
    """Both daemons, Prometheus, the alert manager, and what the webhook was told."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self.port = free_port()
        api = f"[api]\nport = {self.port}\nworkers = 2\n"
        self.place = MeanHome(folder, settings=api)
        self.place.add_rows(100)
        self.webhook: Receiver = stack.enter_context(receiver())
        self.retrain, self.api = self.start("retrain_service", "run"), self.start("api_service")

    @property
    def store(self) -> ModelStore:
        """To write signals as the daemon does, with its key."""
        return ModelStore(
            self.place.home / "models", signing=SigningKey.read(self.place.home / "keys")
        )

    def start(self, *arguments: str) -> Daemon:
        output = self._folder / f"{arguments[0]}.log"
        return self._stack.enter_context(
            daemon(*arguments, config=self.place.config, output=output)
        )

    def watch(self) -> prometheus.PrometheusServer:
        """Start Prometheus and the alert manager."""
        manager = self._stack.enter_context(
            prometheus.running_alert_manager(
                self._folder, f"http://127.0.0.1:{self.webhook.port}/alerts"
            )
        )
        config = prometheus.shipped_config(
            self._folder,
            target=f"127.0.0.1:{self.port}",
            every=SCRAPED_EVERY,
            alert_manager=f"127.0.0.1:{manager}",
            fires=f"{HOLDS_S}s",
        )
        return self._stack.enter_context(prometheus.running_prometheus(self._folder, config))

    def wait_until_served(self) -> None:
        def all_serve() -> bool:
            reports = live_reports(self.place.home / "reports")
            served = [each.models["m"].version for each in reports if "m" in each.models]
            return len(served) == 2 and None not in served

        wait_until(all_serve, 60, "a version on both workers")

    def told(self, alert: str, status: str) -> dict[str, Any] | None:
        """The last message about an alert that the webhook got, if it has this status."""
        messages = [
            each
            for body in list(self.webhook.bodies)
            for each in body["alerts"]
            if each["labels"]["alertname"] == alert
        ]
        return messages[-1] if messages and messages[-1]["status"] == status else None

    def point_at_damaged_version(self) -> None:
        """A version whose model file is not the one that was signed."""
        wanted = self.store.signal("m")
        assert wanted is not None
        parsed = ModelVersion.parse(wanted.version)
        damaged = str(ModelVersion(parsed.number + 1000, parsed.created_at))
        copy = self.store.version_dir("m", damaged)
        shutil.copytree(self.store.version_dir("m", wanted.version), copy)
        (copy / "model.joblib").write_bytes(b"damaged")
        self._point(damaged, wanted)

    def point_back(self) -> None:
        wanted = self.store.signal("m")
        assert wanted is not None
        assert wanted.previous is not None
        self._point(wanted.previous, wanted)

    def _point(self, version: str, before: ReloadSignal) -> None:
        self.store.write_signal(
            "m",
            ReloadSignal(
                generation=before.generation + 1,
                version=version,
                manifest_sha256=before.manifest_sha256,
                previous=before.version,
                reason="the alert is to fire",
                promoted_at=datetime.now(UTC),
            ),
        )


def say(sentence: str) -> None:
    sys.stdout.write(f"{datetime.now(UTC):%H:%M:%S}  {sentence}\n")
    sys.stdout.flush()


def expect(scene: Scene, alert: str, what: str, end: Callable[[], object] | None) -> None:
    """Wait until people are told of an alert, end its cause, and wait until they know that too."""
    began = time.monotonic()
    message = wait_until(lambda: scene.told(alert, "firing"), 60, f"{alert} to be told")
    assert message is not None
    say(f"{what}: told after {time.monotonic() - began:.0f} s: {alert}")
    say(f"    {message['annotations']['summary']}")
    if end is not None:
        end()
        began = time.monotonic()
        wait_until(lambda: scene.told(alert, "resolved"), 90, f"the end of {alert} to be told")
        say(f"    over, told after {time.monotonic() - began:.0f} s")


def main() -> int:
    """0 when every alert was told and resolved."""
    if not prometheus.is_there():
        say(prometheus.WHY_NOT)
        return 1
    with tempfile.TemporaryDirectory(prefix="hotfit-alerts-") as folder, ExitStack() as stack:
        scene = Scene(Path(folder), stack)
        scene.wait_until_served()
        server = scene.watch()
        wait_until(lambda: server.value("hotfit_retrain_up") == 1, 30, "the first scrape")
        say("both daemons run and are scraped; a version serves; nothing fires:")
        wait_until(lambda: server.value("count(hotfit_training_runs_total)"), 30, "counters")
        firing = server.query('ALERTS{alertstate="firing"}')
        assert not firing, firing

        scene.retrain.kill()
        expect(
            scene,
            "HotfitRetrainDown",
            "the retrain daemon was killed",
            lambda: scene.start("retrain_service", "run"),
        )
        scene.point_at_damaged_version()
        expect(scene, "HotfitModelQuarantined", "a damaged version was wanted", scene.point_back)
        for _ in range(3):
            _kill_a_worker(scene)
        expect(scene, "HotfitWorkersFlapping", "three workers were killed", None)
        scene.api.stop()
        expect(scene, "HotfitApiDown", "the API was stopped", lambda: scene.start("api_service"))
    say("every alert was told, and its end where it has one.")
    return 0


def _kill_a_worker(scene: Scene) -> None:
    reports = scene.place.home / "reports"
    victim = min(report.pid for report in live_reports(reports))
    os.kill(victim, signal.SIGKILL)

    def is_replaced() -> bool:
        pids = {report.pid for report in live_reports(reports)}
        return len(pids - {victim}) == 2

    wait_until(is_replaced, 60, "another worker")


if __name__ == "__main__":
    sys.exit(main())
