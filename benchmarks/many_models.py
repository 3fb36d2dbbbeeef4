"""Thousands of small models: start, first answers, throughput, lists, memory.

`python -m benchmarks.many_models` trains one small model through Hotfit, registers it under
thousands of names, and compares: one model asked on 8 connections, 200 of the thousands in turn.
Needs `wrk`. The numbers are of the machine and of the moment.
"""

from __future__ import annotations

import argparse
import http.client
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psutil

from api_service.status.workers import live_reports
from benchmarks.serving.hotfit import ROOT, environment
from benchmarks.serving.measure import pss_mb, running, wait_until_right
from benchmarks.swap_versions import Trained, train
from benchmarks.wrk import Measured, run
from scripts.daemons.network import free_port
from shared.exchange.reload_signal import ReloadSignal
from shared.keys.signing import SigningKey
from shared.versions.manifest import MANIFEST_NAME, encode, read_manifest, sign
from shared.versions.model_store import ModelStore

_CONNECTIONS = 8
_ASKED_TIMES = 10
_WARM_ROUNDS = 30


def register(trained: Trained, n_models: int) -> list[str]:
    """The trained version under so many names; files are shared, manifests are not."""
    key = SigningKey.read_or_create(trained.store.models_dir.parent / "keys")
    version = trained.versions[0]
    source = trained.store.version_dir("bench", version)
    manifest, _ = read_manifest(source)
    names = [f"fleet/device-{i:05d}" for i in range(n_models)]
    for name in names:
        _link(source, trained.store.version_dir(name, version))
        signed = encode(sign(msgspec.structs.replace(manifest, model=name), key))
        (trained.store.version_dir(name, version) / MANIFEST_NAME).write_bytes(signed)
        write_signal(trained.store, name, version, 1)
    return names


def write_signal(store: ModelStore, name: str, version: str, generation: int) -> None:
    store.write_signal(
        name,
        ReloadSignal(
            generation=generation,
            version=version,
            manifest_sha256=read_manifest(store.version_dir(name, version))[1],
            previous=None,
            reason="a benchmark wants it",
            promoted_at=datetime.now(UTC),
        ),
    )


def _link(source: Path, target: Path) -> None:
    for path in source.rglob("*"):
        inside = target / path.relative_to(source)
        if path.is_dir():
            inside.mkdir(parents=True, exist_ok=True)
        elif path.name != MANIFEST_NAME:
            inside.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, inside)


def first_answers_ms(port: int, paths: Sequence[str], body: bytes) -> list[float]:
    """The first request of each model, one after the other on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    took_ms = []
    for path in paths:
        started = time.perf_counter()
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        took_ms.append((time.perf_counter() - started) * 1e3)
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {content[:200]!r}")
    connection.close()
    return took_ms


def open_everywhere(trained: Trained, hot: Sequence[str], url: str) -> None:
    """Ask until every worker has all of them open, so that no opening is measured as load."""
    reports_dir = trained.store.models_dir.parent / "reports"
    for _ in range(_WARM_ROUNDS):
        run(url, trained.body, 32, 2, paths=hot)
        if all(len(report.models) >= len(hot) for report in live_reports(reports_dir)):
            return


def asked_ms(port: int, path: str) -> float:
    """Median over a few requests of a page."""
    took_ms = []
    for _ in range(_ASKED_TIMES):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        started = time.perf_counter()
        connection.request("GET", path)
        connection.getresponse().read()
        took_ms.append((time.perf_counter() - started) * 1e3)
        connection.close()
    return statistics.median(took_ms)


def idle_cpu_percent(process: psutil.Process, seconds: float) -> float:
    """Of one core, of all processes together, with nobody asking."""
    family = [process, *process.children(recursive=True)]

    def used() -> float:
        return sum(sum(one.cpu_times()[:2]) for one in family)

    before = used()
    time.sleep(seconds)
    return (used() - before) / seconds * 100


def measure(trained: Trained, names: Sequence[str], options: argparse.Namespace) -> None:
    port = free_port()
    variables = environment(
        HOTFIT_CONFIG=str(trained.configuration),
        HOTFIT_API__PORT=str(port),
        HOTFIT_API__WORKERS=str(options.workers),
    )
    url = f"http://127.0.0.1:{port}"
    paths = [f"/models/{name}/predict" for name in names]
    hot = paths[:: max(1, len(paths) // options.hot)][: options.hot]
    log = options.directory / "api.log"
    started = time.perf_counter()
    with running([sys.executable, "-m", "api_service"], variables, log, ROOT) as process:
        one = f"{url}/models/bench/predict"
        wait_until_right(process, one, trained.body, lambda answer: "predictions" in answer)
        ready_s = time.perf_counter() - started
        memory = [pss_mb(process)]
        idle = idle_cpu_percent(process, options.seconds)
        first = sorted(first_answers_ms(port, hot, trained.body))
        open_everywhere(trained, hot, url)
        singles: list[Measured] = []
        manies: list[Measured] = []
        for _ in range(options.repeats):  # in turn: the machine's moods are then shared
            for runs, asked in ((singles, ["/models/bench/predict"]), (manies, hot)):
                # Both by `paths`: choosing the next one costs wrk time too.
                runs.append(run(url, trained.body, _CONNECTIONS, options.seconds, paths=asked))
        memory.append(pss_mb(process))
        lists = {path: asked_ms(port, path) for path in ("/health", "/models", "/models?limit=500")}
        report = max(
            path.stat().st_size
            for path in (trained.store.models_dir.parent / "reports").glob("*-*")
        )
    one_s = statistics.median(one.requests_per_s for one in singles)
    many_s = statistics.median(one.requests_per_s for one in manies)
    rows = {
        "models registered, hot": f"{len(names) + 1}, {len(hot)}",
        "from start to first answer": f"{ready_s:.1f} s",
        "first answer of a closed model, median, longest": f"{first[len(first) // 2]:.1f} ms,"
        f" {first[-1]:.1f} ms",
        "one model": f"{one_s:.0f} requests/s, p99 {max(m.p99_ms for m in singles):.1f} ms",
        "the hot ones in turn": f"{many_s:.0f} requests/s ({many_s / one_s:.0%} of one model's),"
        f" p99 {max(m.p99_ms for m in manies):.1f} ms",
        "failed": str(sum(m.n_errors for m in (*singles, *manies))),
        "processor with nobody asking": f"{idle:.1f} % of a core",
        "memory at start, with the hot ones open": f"{memory[0]:.0f} MB, {memory[1]:.0f} MB",
        "a worker's report": f"{report / 1000:.0f} kB",
        **{f"GET {path}": f"{ms:.1f} ms" for path, ms in lists.items()},
    }
    print(
        "\n".join(
            ["| what | found |", "| --- | --- |", *(f"| {k} | {v} |" for k, v in rows.items())]
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_models", description=__doc__)
    parser.add_argument("--models", type=int, default=5_000)
    parser.add_argument("--hot", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each load")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hotfit-many-") as folder:
        options.directory = Path(folder)
        trained = train("small", options.directory)
        names = register(trained, options.models)
        measure(trained, names, options)


if __name__ == "__main__":
    main()
