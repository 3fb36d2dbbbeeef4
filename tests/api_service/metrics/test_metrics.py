"""Metrics are right across workers and over their deaths, cheap to count and few in number."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import shutil
import signal
import subprocess
import timeit
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from api_service.app import create_app
from api_service.context import Context
from api_service.metrics import worker_file
from api_service.metrics.catalogue import METRICS
from api_service.metrics.exposition import SHOWN_BOUNDS_S, Families, Scrape, add_serving, exposed
from api_service.metrics.flush import MetricsWriter
from api_service.metrics.recorder import BOUNDS_S, MAX_MODELS, OTHER, Recorder
from api_service.metrics.swaps import WINDOW_S
from api_service.metrics.worker_file import merge_exited_workers, read_sum, worker_path
from api_service.metrics.worker_metrics import Counted, WorkerMetrics, series_of
from shared.exchange.json_files import write_unsynced
from shared.exchange.training_metrics import metrics_dir
from shared.exchange.worker_report import WatcherReport
from tests.api_service.conftest import NOW, Serving, serving_config
from tests.support.api_process import ApiHome, steady_load
from tests.support.versions import ServingHome
from tests.support.waiting import wait_until

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
NEVER_SHRINKS = ("_total", "_bucket", "_count", "_sum")


def samples_of(text: str) -> Samples:
    """(name, sorted labels) -> value."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    """The sum over all samples of a name that have these labels."""
    return sum(
        each
        for (found, its_labels), each in samples.items()
        if found == name and labels.items() <= dict(its_labels).items()
    )


def scrape(port: int) -> Samples:
    """One scrape on a connection of its own, so that any worker may answer."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as asked:
        asked.request("GET", "/metrics")
        answer = asked.getresponse()
        assert answer.status == 200
        return samples_of(answer.read().decode())


def well() -> WatcherReport:
    return WatcherReport(is_well=True, sentence="directory events arrive.")


class Counting(Serving):
    """A worker's parts with its metrics, without threads."""

    def __init__(self, home: ServingHome) -> None:
        super().__init__(home, serving_config(home.path))
        self.directory = metrics_dir(self.config.reports_dir)
        self.writer = MetricsWriter(self.directory, self.table, well, configured=["m"])

    def tick(self) -> None:
        super().tick()
        self.writer.look_at(self.manager.reports)

    def scrape(self) -> Samples:
        context = Context(
            self.config,
            self.table,
            self.home.store,
            self.ring,
            lambda: NOW,
            self.writer.recorder,
            self.writer.flush,
        )
        answer = create_app(context).test_client().get("/metrics")
        assert answer.status_code == 200
        return samples_of(answer.text)


@pytest.fixture
def counting(home: ServingHome) -> Counting:
    return Counting(home)


# -- counting ------------------------------------------------------------------------------------


def test_counting_a_request_costs_about_half_a_microsecond() -> None:
    """It is paid by every prediction; the bound leaves room for a busy machine."""
    recorder = Recorder()

    def a_thousand() -> None:
        for _ in range(1000):
            recorder.count("m", "v000001-20261121T083000Z", "/predict", 200, 0.0003, 1)

    best_s = min(timeit.repeat(a_thousand, number=1, repeat=50)) / 1000

    assert best_s < 2e-6


def test_every_request_is_counted_once_with_its_route_and_status(home: ServingHome) -> None:
    """Errors, unknown paths and made-up names too, and none of them makes up a series."""
    version = home.publish("m", 1)
    serving = Serving(home, serving_config(home.path))
    serving.tick()
    context = Context(serving.config, serving.table, home.store, serving.ring, lambda: NOW)
    client = create_app(context).test_client()

    client.post("/models/m/predict", json={"instances": [{"x": 1}, {"x": 2}, {"x": 3}]})
    client.post("/models/m/predict", json={"instances": [{"x": 1}], "raise": True})
    client.post("/models/m/predict", json={"instances": [{"y": 1}]})
    client.get("/models/m")
    client.post("/models/nobody/predict", json={})
    client.get("/no/such/path")

    cells = context.recorder.cells()
    counted = {key: sum(cell[: len(BOUNDS_S) + 1]) for key, cell in cells.items()}
    assert counted == {
        ("m", version, "/models/<model>/predict", 200): 1,
        ("m", version, "/models/<model>/predict", 500): 1,
        ("m", version, "/models/<model>/predict", 400): 1,
        ("m", "", "/models/<model>", 200): 1,
        ("", "", "/models/<model>/predict", 404): 1,
        ("", "", "none", 404): 1,
    }
    assert cells["m", version, "/models/<model>/predict", 200][-1] == 3
    assert context.recorder.in_flight == 0


def test_exposed_buckets_are_counted_bounds_so_that_no_request_is_guessed() -> None:
    """A bound between two counted ones would have to split a bucket."""
    assert set(SHOWN_BOUNDS_S) <= set(BOUNDS_S)


# -- across workers ------------------------------------------------------------------------------


@pytest.fixture
def served_by_two(tmp_path: Path) -> Iterator[ApiHome]:
    home = ApiHome(tmp_path, workers=2)
    version = home.publish("m", 1)
    with home.running():
        home.wait_until_served(version)
        yield home


@pytest.mark.slow
def test_counters_cover_all_workers_and_never_go_back_when_workers_die(
    served_by_two: ApiHome,
) -> None:
    """A counter that falls looks to Prometheus like a restart, and every rate is wrong."""
    home = served_by_two
    seen: list[Samples] = []

    def is_replaced(gone: int) -> bool:
        return len(home.worker_pids() - {gone}) == 2

    with steady_load(home.port, connections=4) as load:
        wait_until(lambda: load.n_answered > 500, 30, "some answers")
        for _ in range(2):
            seen.append(scrape(home.port))
            victim = min(home.worker_pids())
            os.kill(victim, signal.SIGKILL)
            for _ in range(10):
                with contextlib.suppress(OSError, http.client.HTTPException):
                    seen.append(scrape(home.port))
            wait_until(partial(is_replaced, victim), 30, "another worker")
            seen.append(scrape(home.port))
        # So many that what both of the dead took with them cannot be half of all.
        until_now = load.n_answered
        wait_until(lambda: load.n_answered > 4 * until_now, 90, "many more answers")

    def is_complete() -> bool:
        seen.append(scrape(home.port))
        return value(seen[-1], "hotfit_worker_deaths_total") == 2

    wait_until(is_complete, 60, "both deaths to be known")
    for before, after in itertools.pairwise(seen):
        for key, earlier in before.items():
            if key[0].endswith(NEVER_SHRINKS):
                assert after.get(key, 0) >= earlier, key
    predicted = value(seen[-1], "hotfit_requests_total", route="/models/<model>/predict")
    # What a killed worker counted in its last second is lost, nothing else.
    assert 0.5 * load.n_answered < predicted <= load.n_answered + len(load.failures)


@pytest.mark.slow
def test_any_worker_answers_for_all(served_by_two: ApiHome) -> None:
    """There is one scrape target, and the kernel picks the worker."""
    home = served_by_two
    for _ in range(40):
        assert home.ask("POST", "/models/m/predict", {"instances": [{"x": 1}]})[0] == 200

    def knows_all() -> bool:
        found = [scrape(home.port) for _ in range(6)]
        return all(value(each, "hotfit_predictions_total", model="m") == 40 for each in found)

    wait_until(knows_all, 60, "every scrape to know every request")
    assert value(scrape(home.port), "hotfit_workers_running") == 2


def dead_worker(counting: Counting, n: int, *, pid: int, has_ended: bool = False) -> WorkerMetrics:
    """The file of a worker that is no more, with `n` requests."""
    started_at = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=pid)
    path = worker_path(counting.directory, pid, started_at)
    recorder = Recorder()
    for _ in range(n):
        recorder.count("m", "v000001-20261101T090000Z", "/predict", 200, 0.001, 1)
    worker = WorkerMetrics(
        id=path.stem,
        host=worker_file.host_of(path),
        pid=pid,
        started_at=started_at,
        written_at=started_at,
        has_ended=has_ended,
        counted=Counted(series=series_of(recorder.cells()), n_starts=1),
    )
    counting.directory.mkdir(parents=True, exist_ok=True)
    write_unsynced(path, msgspec.msgpack.encode(worker))
    return worker


def test_what_dead_workers_counted_is_kept_in_one_file(counting: Counting) -> None:
    """A worker that dies each minute must not leave a thousand files, nor take its counts along."""
    for pid in (999_001, 999_002):
        dead_worker(counting, 10, pid=pid, has_ended=pid == 999_002)
    before = counting.scrape()

    n_absorbed = merge_exited_workers(counting.directory)

    after = counting.scrape()
    assert n_absorbed == 2
    assert value(before, "hotfit_requests_total", route="/predict") == 20
    for key, earlier in before.items():
        if key[0].endswith(NEVER_SHRINKS):
            assert after[key] >= earlier, key
    assert value(after, "hotfit_requests_total", route="/predict") == 20
    assert value(after, "hotfit_worker_deaths_total") == 1
    assert len(list(counting.directory.glob("*.worker"))) == 1  # our own


def test_a_file_that_was_absorbed_and_not_yet_removed_counts_once(counting: Counting) -> None:
    """The main process may be killed between the two."""
    dead = dead_worker(counting, 10, pid=999_001)
    merge_exited_workers(counting.directory)
    write_unsynced(counting.directory / f"{dead.id}.worker", msgspec.msgpack.encode(dead))

    assert value(counting.scrape(), "hotfit_requests_total", route="/predict") == 10
    assert merge_exited_workers(counting.directory) == 0
    assert not (counting.directory / f"{dead.id}.worker").exists()


def test_a_torn_file_is_left_out_and_harms_no_scrape(counting: Counting) -> None:
    """These files are not synced: a power cut may leave half of one."""
    dead = dead_worker(counting, 10, pid=999_001)
    path = counting.directory / f"{dead.id}.worker"
    path.write_bytes(path.read_bytes()[:40])

    assert value(counting.scrape(), "hotfit_requests_total", route="/predict") == 0
    assert read_sum(counting.directory).n_starts == 1


# -- models, versions, swaps ---------------------------------------------------------------------


def test_models_beyond_the_limit_are_counted_together() -> None:
    """Thousands of devices must not become tens of thousands of series."""
    recorder = Recorder()

    for i in range(5000):
        recorder.count(f"solar/{i}", "v000001-20261101T090000Z", "/predict", 200, 0.001, 1)

    cells = recorder.cells()
    assert len({model for model, *_ in cells}) == MAX_MODELS + 1
    assert sum(sum(cell[: len(BOUNDS_S) + 1]) for cell in cells.values()) == 5000
    assert cells[OTHER, "", "/predict", 200][-1] == 5000 - MAX_MODELS


def test_a_model_that_nobody_asks_has_its_age_told_while_there_are_few(
    counting: Counting,
) -> None:
    """Its data grows old all the same."""
    counting.home.publish("solar/roof-1", 1)
    counting.tick()

    assert value(counting.scrape(), "hotfit_model_generation", model="solar/roof-1") == 1


def test_only_the_served_and_the_previous_version_have_series(counting: Counting) -> None:
    """A version a day for a year is not 365 series, and those that answer are never dropped."""
    for number in range(1, 8):
        version = counting.home.publish("m", number)
        counting.tick()
        counting.writer.recorder.count("m", version, "/predict", 200, 0.001, 1)
        samples = counting.scrape()

    shown = {dict(labels)["version"] for name, labels in samples if "predictions" in name}
    kept = {version for _, version, _, _ in counting.writer.recorder.cells()}
    assert {each[:7] for each in shown} == {"v000006", "v000007"}
    assert len(kept - {""}) == 5


def test_swaps_are_counted_by_outcome_and_timed_by_stage(counting: Counting) -> None:
    """How swaps go is seen without reading logs."""
    counting.home.publish("m", 1)
    counting.tick()
    counting.home.publish("m", 2)
    counting.tick()
    counting.home.publish("m", 3, broken="warm")
    counting.tick()
    counting.tick()  # nothing new: nothing counted

    samples = counting.scrape()
    outcomes = {
        dict(labels)["outcome"]: n
        for (name, labels), n in samples.items()
        if name == "hotfit_swaps_total"
    }
    assert outcomes == {"opened": 1, "switched": 1, "quarantined": 1, "try_later": 0}
    for stage in ("detect", "verify", "load", "golden", "warm", "switch", "drain"):
        name = "hotfit_swap_stage_duration_seconds_count"
        assert value(samples, name, stage=stage) == 1, stage
    assert value(samples, "hotfit_model_quarantined", model="m") == 1
    assert value(samples, "hotfit_models", state="loaded") == 1
    assert value(samples, "hotfit_model_generation", model="m") == 2


def test_a_version_that_cannot_be_opened_yet_is_counted_as_such(counting: Counting) -> None:
    """It is no fault of the version, but somebody should know."""
    counting.home.publish("m", 1)
    counting.config.public_key_path.rename(counting.config.public_key_path.with_suffix(".away"))
    counting.tick()

    samples = counting.scrape()

    assert value(samples, "hotfit_swaps_total", outcome="try_later") == 1
    assert value(samples, "hotfit_model_degraded", model="m") == 1


def test_latency_before_and_after_a_swap_is_told_apart(
    counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the ten seconds around it: an hour of calm would hide the tremor."""
    clock = [1000.0]
    monkeypatch.setattr("api_service.metrics.swaps.time.monotonic", lambda: clock[0])
    count = counting.writer.recorder.count
    old = counting.home.publish("m", 1)
    counting.tick()
    for second in range(30):
        clock[0] += 1
        # Slow long ago, quick in the last ten seconds.
        count("m", old, "/predict", 200, 2.0 if second < 15 else 0.001, 1)
        counting.writer.flush()

    new = counting.home.publish("m", 2)
    counting.tick()
    for second in range(30):
        clock[0] += 1
        count("m", new, "/predict", 200, 0.05 if second < WINDOW_S else 2.0, 1)
        counting.writer.flush()

    samples = counting.scrape()
    p99_s = {
        window: value(samples, "hotfit_swap_p99_seconds", window=window)
        for window in ("before", "after")
    }
    assert p99_s["before"] == pytest.approx(0.001, rel=0.25)
    assert p99_s["after"] == pytest.approx(0.05, rel=0.25)


def test_the_age_of_the_served_data_is_told(counting: Counting) -> None:
    """A version may be fresh and know only old data."""
    version = counting.home.publish("m", 1, newest_record_at=NOW - timedelta(hours=3))
    counting.tick()

    samples = counting.scrape()

    assert value(samples, "hotfit_model_data_age_seconds", model="m") == 3 * 3600
    assert value(samples, "hotfit_oldest_data_age_seconds") == 3 * 3600
    assert value(samples, "hotfit_model_info", version=version) == 1


# -- the page ------------------------------------------------------------------------------------


def test_every_metric_of_the_catalogue_is_exposed_and_no_other(counting: Counting) -> None:
    """Rules and dashboards are checked against the catalogue."""
    families = Families()
    add_serving(families, Scrape(NOW, read_sum(counting.directory), 1))
    text = exposed(families, "")[0].decode()

    told = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP")}
    assert told == set(METRICS)


def test_metrics_need_a_key_except_on_loopback(home: ServingHome) -> None:
    """Model names and traffic are nobody else's business."""
    local = Serving(home, serving_config(home.path))
    remote = Serving(home, serving_config(home.path, host="192.0.2.1"))

    assert local.client().get("/metrics").status_code == 200
    assert remote.client().get("/metrics").status_code == 401


def test_what_a_scraper_asks_for_it_gets(counting: Counting) -> None:
    """Prometheus asks for OpenMetrics, curl for text."""
    client = counting.client()

    text = client.get("/metrics")
    open_metrics = client.get("/metrics", headers={"Accept": "application/openmetrics-text"})

    assert text.content_type.startswith("text/plain")
    assert open_metrics.content_type.startswith("application/openmetrics-text")
    assert open_metrics.text.endswith("# EOF\n")


def test_promtool_finds_nothing_to_complain_of(counting: Counting, tmp_path: Path) -> None:
    """Prometheus' own linter: units, help texts, names."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("Prometheus is not installed (Debian: apt-get install prometheus)")
    for number in (1, 2):
        version = counting.home.publish("m", number)
        counting.tick()
        counting.writer.recorder.count("m", version, "/predict", 200, 0.001, 1)
    text = counting.client().get("/metrics").text

    checked = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_the_page_of_many_models_is_quick_and_small(counting: Counting) -> None:
    """A scrape every few seconds must not be felt by those who ask for predictions."""
    for i in range(5000):
        for number in (1, 2):
            version = f"v00000{number}-20261101T090000Z"
            counting.writer.recorder.count(f"s/{i}", version, "/predict", 200, 0.001, 1)

    def page() -> bytes:
        families = Families()
        add_serving(families, Scrape(NOW, read_sum(counting.directory), 1))
        return exposed(families, "")[0]

    counting.writer.flush()
    best_s = min(timeit.repeat(page, number=1, repeat=3))

    assert len(page()) < 1_500_000
    assert best_s < 3  # 0.1 s on an idle machine
