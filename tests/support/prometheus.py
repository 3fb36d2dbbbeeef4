"""Prometheus and its alert manager as real processes over the configuration that we ship."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.daemons.network import free_port
from tests.support.waiting import wait_until

SHIPPED = Path(__file__).resolve().parents[2] / "scripts" / "monitoring"
BINARIES = ("prometheus", "promtool", "prometheus-alertmanager", "amtool")
WHY_NOT = "Prometheus is not installed (Debian: apt-get install prometheus prometheus-alertmanager)"


def is_there() -> bool:
    return all(shutil.which(name) for name in BINARIES)


class PrometheusServer:
    """One that runs."""

    def __init__(self, port: int) -> None:
        self.port = port

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The instant vector of an expression: [{"metric": {…}, "value": [time, text]}, …].

        Raises:
            AssertionError: Prometheus does not take it; with its reason.
        """
        content = urllib.parse.urlencode({"query": expression}).encode()
        url = f"http://127.0.0.1:{self.port}/api/v1/query"
        try:
            with urllib.request.urlopen(url, content, timeout=10) as answer:
                found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
                return found
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{expression}: {error.read().decode()}") from None

    def value(self, expression: str) -> float | None:
        """The only value of an expression; None when there is none yet."""
        found = self.query(expression)
        return float(found[0]["value"][1]) if found else None


def shipped_config(
    folder: Path, *, target: str, every: str, alert_manager: str = "127.0.0.1:9", fires: str = ""
) -> Path:
    """Our prometheus.yml and alerts.yml with another target and a quicker clock.

    Args:
        every: interval of scrapes and evaluations, "200ms".
        fires: when given, how long a condition must hold, instead of minutes.
    """
    config = (SHIPPED / "prometheus.yml").read_text()
    config = config.replace("127.0.0.1:5000", target).replace("127.0.0.1:9093", alert_manager)
    config = re.sub(r"_interval: \w+", f"_interval: {every}", config)
    rules = (SHIPPED / "alerts.yml").read_text()
    if fires:
        rules = re.sub(r"( +for:) \w+", rf"\1 {fires}", rules)
    (folder / "alerts.yml").write_text(rules)
    path = folder / "prometheus.yml"
    path.write_text(config)
    return path


@contextlib.contextmanager
def running_prometheus(folder: Path, config: Path) -> Iterator[PrometheusServer]:
    """Start Prometheus on a loopback port; its data goes below `folder`."""
    port = free_port()
    with _running(
        folder / "prometheus.log",
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        ready=f"http://127.0.0.1:{port}/-/ready",
    ):
        yield PrometheusServer(port)


@contextlib.contextmanager
def running_alert_manager(folder: Path, webhook: str) -> Iterator[int]:
    """Start the alert manager with our configuration and another webhook; gives its port."""
    port, config = free_port(), folder / "alertmanager.yml"
    text = (
        (SHIPPED / "alertmanager.yml").read_text().replace("http://127.0.0.1:9095/alerts", webhook)
    )
    text = re.sub(r"group_wait: \w+", "group_wait: 1s", text)
    config.write_text(re.sub(r"group_interval: \w+", "group_interval: 1s", text))
    with _running(
        folder / "alertmanager.log",
        "prometheus-alertmanager",
        f"--config.file={config}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        ready=f"http://127.0.0.1:{port}/-/ready",
    ):
        yield port


@contextlib.contextmanager
def _running(log: Path, *command: str, ready: str) -> Iterator[None]:
    def is_ready() -> bool:
        assert process.poll() is None, log.read_text(errors="replace")
        try:
            with urllib.request.urlopen(ready, timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, http.client.HTTPException):
            return False

    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=log.parent
        )
    try:
        wait_until(is_ready, 30, f"{command[0]} to be ready")
        yield
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
