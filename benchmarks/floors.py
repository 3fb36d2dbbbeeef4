"""How near the limit: a prediction against what the server and Flask cost without one.

`python -m benchmarks.floors` trains a ridge pipeline over ten numbers and two texts, and drives
one server after the other with `wrk`: granian with an application that reads the body and returns
a constant; the same with threads that do not interrupt each other, as ours; a Flask view that
returns the constant; Hotfit with the fast path made to give way; Hotfit as it is; and the first and
the last once more with two workers, which is what the machine can do when the load comes from the
same cores. Every round measures all of them in turn; the table has the medians of the rounds. The
processor time of a request is the server's, user and system.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.serving.hotfit import ROOT, Home, hotfit_environment, train
from benchmarks.serving.measure import pss_mb, running, wait_until_right
from benchmarks.wrk import Measured, run
from scripts.daemons.network import free_port

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    import psutil

    from api_service.config.serving import ServingConfig

RAW, FLASK, ORDINARY, FAST = "granian", "Flask view", "ordinary view", "fast path"
TURNS, TWO = "granian, threads in turn", ", two workers"
KINDS = (RAW, TURNS, FLASK, ORDINARY, FAST, RAW + TWO, FAST + TWO)
FLOOR = {ORDINARY: FLASK, FAST: RAW, FAST + TWO: RAW + TWO}
_ANSWER = (
    b'{"predictions":[1.2345678901234567],"unit":"none","model":"bench","version":'
    b'"v000001-20261121T083000Z","generation":1,"trained_at":"2026-11-21T08:30:00Z","watermark":'
    b'"2026-11-21T08:00:00Z"}\n'
)


# -- in the process that is measured -----------------------------------------------------------


def constant_in_turns() -> WSGIApplication:
    """The same with threads that do not interrupt each other, as ours."""
    from api_service.worker.batch_scheduling import use_batch_scheduling

    use_batch_scheduling()
    return constant()


def constant() -> WSGIApplication:
    """What granian costs."""
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(_ANSWER)))]

    def application(environ: Any, start_response: Any) -> list[bytes]:
        environ["wsgi.input"].read()
        start_response("200 OK", headers)
        return [_ANSWER]

    return application


def constant_view() -> WSGIApplication:
    """What Flask costs on top."""
    from flask import Flask, Response, request

    app = Flask("floor", static_folder=None)

    @app.post("/predict")
    def predict() -> Response:
        request.get_data(cache=False)
        return Response(_ANSWER, mimetype="application/json")

    return app


def ours(config: ServingConfig, kind: str) -> WSGIApplication:
    """A worker; for the ordinary view with a hook that does nothing, which Flask has to call."""
    import granian.server.mp

    from api_service.web.granian_adapter import install_adapter
    from api_service.worker.batch_scheduling import use_batch_scheduling
    from api_service.worker.worker import Worker

    if config.batch_scheduling:
        use_batch_scheduling()
    worker = Worker(config)
    worker.start()
    application: Any = worker.application()
    if kind == ORDINARY:
        application.before_request(lambda: None)
    install_adapter(granian.server.mp)
    return application  # type: ignore[no-any-return]


def serve(kind: str, port: int) -> None:
    """One worker on `port`, or two."""
    import multiprocessing

    from granian.constants import Interfaces
    from granian.server.mp import MPServer

    from api_service.supervisor.start_checks import prepare
    from api_service.supervisor.supervisor import READING_THREADS
    from shared.settings.root import load_settings

    multiprocessing.set_start_method("spawn", force=True)
    # One thread is granian's best for applications that never wait.
    loaders = {FLASK: constant_view, TURNS: constant_in_turns}
    loader, threads = partial(loaders.get(kind, constant)), 1
    if kind in FLOOR:
        config = prepare(load_settings())
        loader, threads = partial(ours, config, kind), READING_THREADS
    server = MPServer(
        "none:none",
        port=port,
        interface=Interfaces.WSGI,
        workers=2 if kind.endswith(TWO) else 1,
        blocking_threads=threads,
        websockets=False,
        log_enabled=False,
    )
    server.serve(target_loader=loader, wrap_loader=False)


# -- in the process that measures --------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """One run; processor time and memory are of the workers and their main process."""

    load: Measured
    processor_us: float
    memory_mb: float


def measure(home: Home, kind: str, connections: int, n_rows: int, seconds: float) -> Found:
    """Start it, warm it, drive it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/predict"
    body = json.dumps({"instances": home.rows[:n_rows]}).encode()
    command = [sys.executable, "-m", "benchmarks.floors", "--serve", kind, "--port", str(port)]
    log = home.directory / f"{kind.replace(' ', '-')}.log"
    with running(command, hotfit_environment(home, port), log, ROOT) as process:
        wait_until_right(process, url, body, lambda answer: "predictions" in answer)
        run(url, body, connections, 1)
        before_s = processor_s(process)
        load = run(url, body, connections, seconds)
        spent_us = (processor_s(process) - before_s) * 1e6
        return Found(load, spent_us / load.n_requests, pss_mb(process))


def processor_s(process: psutil.Process) -> float:
    """User and system time of a process and all that it started, so far."""
    family = [process, *process.children(recursive=True)]
    return sum(one.cpu_times().user + one.cpu_times().system for one in family)


def table(found: dict[str, list[Found]]) -> str:
    """Medians of the rounds."""
    lines = [
        "| | requests/s | of its floor | processor µs | p50 ms | p99 ms | p99.9 ms | errors"
        " | PSS MB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    rates = {
        kind: statistics.median(one.load.requests_per_s for one in runs)
        for kind, runs in found.items()
    }
    for kind, runs in found.items():
        p50, p99, p999 = (
            statistics.median(getattr(one.load, name) for one in runs)
            for name in ("p50_ms", "p99_ms", "p999_ms")
        )
        floor = FLOOR.get(kind)
        share = f"{rates[kind] / rates[floor]:.0%} of {floor}" if floor in rates else ""
        errors = sum(one.load.n_errors for one in runs)
        spent_us = statistics.median(one.processor_us for one in runs)
        memory_mb = statistics.median(one.memory_mb for one in runs)
        lines.append(
            f"| {kind} | {rates[kind]:,.0f} | {share} | {spent_us:.0f} | {p50:.2f} | {p99:.2f}"
            f" | {p999:.2f} | {errors} | {memory_mb:.0f} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--rows", type=int, default=1, help="in one request")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=KINDS, action="append")
    parser.add_argument("--home", type=Path, help="keep the trained model there")
    parser.add_argument("--serve", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.serve:
        serve(chosen.serve, chosen.port)
        return 0
    with tempfile.TemporaryDirectory() as directory:
        home = train("ridge", chosen.home or Path(directory))
        found: dict[str, list[Found]] = {}
        for _ in range(chosen.rounds):
            for kind in chosen.only or KINDS:
                one = measure(home, kind, chosen.connections, chosen.rows, chosen.seconds)
                found.setdefault(kind, []).append(one)
    wrk = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout
    sys.stdout.write(
        f"{chosen.connections} connections, {chosen.rows} row(s) a request,"
        f" {chosen.rounds} x {chosen.seconds:g} s, {wrk.partition(' [')[0]}\n\n{table(found)}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
