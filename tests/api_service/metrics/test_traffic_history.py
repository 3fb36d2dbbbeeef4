"""When requests were counted: bounded, right across workers, and never twice."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from api_service.metrics.recorder import Recorder
from api_service.metrics.traffic_history import (
    COARSE_KEPT,
    COARSE_S,
    FINE_KEPT,
    FINE_S,
    SUFFIX,
    TrafficWriter,
    read_traffic,
)
from api_service.metrics.worker_file import file_of_host, host_of, merge_exited_workers, worker_path
from api_service.metrics.worker_metrics import Counted, WorkerMetrics, series_of
from shared.exchange.json_files import write_unsynced
from tests.api_service.conftest import NOW

START_S = 1_800_000_000.0


class Worker:
    """One worker's counts and file, without a process; dead for whoever asks the system."""

    def __init__(self, directory: Path, pid: int) -> None:
        self.recorder, self._path, self._pid = Recorder(), worker_path(directory, pid, NOW), pid

    def answer(
        self, n: int, *, status: int = 200, version: str = "v1", took_s: float = 1e-3
    ) -> None:
        for _ in range(n):
            self.recorder.count("m", version, "/predict", status, took_s)

    def write(self) -> None:
        metrics = WorkerMetrics(
            id=self._path.stem,
            host=host_of(self._path),
            pid=self._pid,
            started_at=NOW,
            written_at=NOW,
            has_ended=True,
            counted=Counted(series=series_of(self.recorder.cells())),
        )
        write_unsynced(self._path, msgspec.msgpack.encode(metrics))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path


def fine(directory: Path) -> list[tuple[int, int]]:
    """(requests, failed) of each span."""
    spans = read_traffic(directory).spans("m", is_fine=True)
    return [(one.n_requests, one.n_failed) for one in spans]


def test_a_span_holds_what_all_workers_answered_in_it(directory: Path) -> None:
    """Whichever worker shows the page, it shows the traffic of all."""
    one, other, writer = Worker(directory, 1), Worker(directory, 2), TrafficWriter(directory)
    one.answer(5)
    one.write()
    writer.look(START_S)  # what was counted before anybody looked has no moment
    one.answer(30, took_s=0.001)
    other.answer(10, took_s=0.1)
    other.answer(1, status=500, version="")
    other.answer(9, version="")  # somebody looked how the model is
    one.write()
    other.write()
    writer.look(START_S + FINE_S)
    writer.look(START_S + 2 * FINE_S)

    assert fine(directory) == [(41, 1), (0, 0)]
    busy, quiet = read_traffic(directory).spans("m", is_fine=True)
    assert (busy.starts_at_s, busy.lasts_s) == (START_S, FINE_S)
    assert busy.p50_us == pytest.approx(1000, rel=0.25)
    assert busy.p99_us == pytest.approx(100_000, rel=0.25)
    assert (quiet.p50_us, quiet.p99_us) == (None, None)


def test_a_look_too_early_adds_nothing_and_loses_nothing(directory: Path) -> None:
    """The thread looks every few seconds for other reasons."""
    worker, writer = Worker(directory, 1), TrafficWriter(directory)
    writer.look(START_S)
    worker.answer(3)
    worker.write()
    writer.look(START_S + FINE_S / 2)
    assert fine(directory) == []
    writer.look(START_S + FINE_S)

    assert fine(directory) == [(3, 0)]


def test_a_worker_that_dies_is_not_counted_again_when_it_is_absorbed(directory: Path) -> None:
    """Its file goes, its counts stay in the sum."""
    worker, writer = Worker(directory, 1), TrafficWriter(directory)
    writer.look(START_S)
    worker.answer(7)
    worker.write()
    writer.look(START_S + FINE_S)
    assert merge_exited_workers(directory) == 1
    writer.look(START_S + 2 * FINE_S)

    assert fine(directory) == [(7, 0), (0, 0)]


def test_two_main_processes_in_turn_count_each_request_once(directory: Path) -> None:
    """A restart hands over while both run; what nobody saw is left out, never doubled."""
    worker, old, new = Worker(directory, 1), TrafficWriter(directory), TrafficWriter(directory)
    old.look(START_S)
    worker.answer(4)
    worker.write()
    new.look(START_S + FINE_S)
    worker.answer(2)
    worker.write()
    new.look(START_S + 2 * FINE_S)
    old.look(START_S + 3 * FINE_S)
    old.look(START_S + 4 * FINE_S)

    assert [n for n, _ in fine(directory)] == [2, 0]


def test_the_past_is_bounded_however_long_it_runs(directory: Path) -> None:
    """Half an hour in short spans, a day in long ones, and a few kilobytes for a busy model."""
    worker, writer = Worker(directory, 1), TrafficWriter(directory)
    n_looks = FINE_KEPT + 40
    for i in range(n_looks):
        worker.answer(1, took_s=1e-4 * (1 + i % 50))
        worker.write()
        writer.look(START_S + i * FINE_S)
    past = read_traffic(directory)

    assert len(past.spans("m", is_fine=True)) == FINE_KEPT
    assert len(past.models_of_a_day()) == 1
    coarse = past.spans("m", is_fine=False)
    assert sum(one.n_requests for one in coarse) == n_looks - 1
    assert all(one.lasts_s == COARSE_S for one in coarse[:-1])
    assert file_of_host(directory, SUFFIX).stat().st_size < 8_000
    later_s = START_S + 3 * COARSE_S * COARSE_KEPT
    writer.look(later_s)
    writer.look(later_s + FINE_S)
    assert read_traffic(directory).models_of_a_day() == []


def test_a_clock_that_is_set_back_draws_no_line_backwards(directory: Path) -> None:
    """Nor does it stop the keeping for as long as it was set back."""
    worker, writer = Worker(directory, 1), TrafficWriter(directory)
    writer.look(START_S)
    writer.look(START_S - 3600)
    worker.answer(3)
    worker.write()
    writer.look(START_S - 3600 + FINE_S)

    assert fine(directory) == [(3, 0)]


def test_a_torn_file_is_an_empty_past(directory: Path) -> None:
    """A power cut may tear it: it is not synced."""
    file_of_host(directory, SUFFIX).write_bytes(b"\x93torn")

    assert read_traffic(directory).spans("m", is_fine=True) == []
    TrafficWriter(directory).look(START_S)
    assert read_traffic(directory).sampled_at_s == START_S
