"""Convert counters and reports into Prometheus metric families. Values in, values out.

Gives way to other threads while it works: whoever calls this lets other requests through.

Which models and versions have series of their own: see docs/monitoring.md. Only the versions
that some worker serves or has just replaced are shown, so that a year of versions is not a
year of series.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import CollectorRegistry, exposition
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    Sample,
)

from api_service.config.release import RELEASE
from api_service.metrics.catalogue import METRICS
from api_service.metrics.latency import quantile_s
from api_service.metrics.recorder import BOUNDS_S, NO_VERSION, ROWS, SUM_S, Cell
from api_service.metrics.worker_metrics import STAGE_BOUNDS_S, Served, Sum
from shared.exchange.training_metrics import Distribution

SHOWN_BOUNDS_S = (
    *(1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0),
)
"""Bucket bounds of the exposed latencies; each is one of BOUNDS_S."""

_NEWEST = 2
_STEPS_AT_ONCE = 40
_PAUSE_S = 5e-5
OUTCOMES = ("opened", "switched", "quarantined", "try_later")


class _Samples(list[Sample]):
    """Samples of a family that let other threads run while they are written out.

    Thousands of lines take tens of milliseconds, in which predictions would wait.
    """

    def __iter__(self) -> Iterator[Sample]:
        for i, sample in enumerate(super().__iter__()):
            _give_way(i)
            yield sample


def _give_way(i: int) -> None:
    """Let go of the interpreter now and then; i : how often this was called in a loop."""
    if i % _STEPS_AT_ONCE == _STEPS_AT_ONCE - 1:
        # Not zero: who waits needs a moment to wake up and take the interpreter.
        time.sleep(_PAUSE_S)


class Families:
    """The families of one answer; samples are added by name."""

    def __init__(self, names: Iterable[str] = METRICS) -> None:
        self._families: dict[str, Metric] = {}
        for name in names:
            spec = METRICS[name]
            if spec.kind == "counter":
                stem = name.removesuffix("_total")
                self._families[name] = CounterMetricFamily(stem, spec.help, labels=spec.labels)
            elif spec.kind == "gauge":
                self._families[name] = GaugeMetricFamily(name, spec.help, labels=spec.labels)
            else:
                self._families[name] = HistogramMetricFamily(name, spec.help, labels=spec.labels)

    def add(self, name: str, value: float, *labels: str) -> None:
        family = self._families[name]
        assert isinstance(family, CounterMetricFamily | GaugeMetricFamily)
        family.add_metric(labels, value)

    def add_histogram(
        self, name: str, bounds: Sequence[float], found: Distribution, *labels: str
    ) -> None:
        """Add a distribution over `bounds`."""
        family = self._families[name]
        assert isinstance(family, HistogramMetricFamily)
        so_far, buckets = 0, []
        for bound, n in zip((*bounds, "+Inf"), found.counts, strict=True):
            so_far += n
            buckets.append((str(bound), so_far))
        family.add_metric(labels, buckets, found.total)

    def collect(self) -> Iterator[Metric]:
        """What a registry asks of a collector."""
        for family in self._families.values():
            family.samples = _Samples(family.samples)
            yield family


def exposed(families: Families, accept: str) -> tuple[bytes, str]:
    """The text of an answer and its content type, as the scraper can take it."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(families)
    encode, content_type = exposition.choose_encoder(accept)
    return encode(registry), content_type


@dataclass(frozen=True, slots=True)
class Scrape:
    """What one answer is made of. total : over all workers of this host."""

    now: datetime
    total: Sum
    expected_workers: int


def add_serving(families: Families, scrape: Scrape) -> None:
    """Everything the API knows of itself."""
    families.add("hotfit_build_info", 1, RELEASE, platform.python_version())
    _add_requests(families, scrape.total)
    _add_swaps(families, scrape.total)
    _add_models(families, scrape)
    _add_workers(families, scrape)


def _add_requests(families: Families, total: Sum) -> None:
    shown = shown_versions(total)
    latencies: dict[tuple[str, str], Cell] = {}
    for i, ((model, live, route, status), cell) in enumerate(sorted(total.cells.items())):
        _give_way(i)
        if live != NO_VERSION and live not in shown.get(model, ()):
            continue
        n = sum(cell[: len(BOUNDS_S) + 1])
        families.add("hotfit_requests_total", n, model, live, route, str(status))
        # What no version answered is of no model's speed.
        of = (model, live) if live != NO_VERSION else ("", "")
        latency = latencies.setdefault(of, [0] * len(cell))
        for bucket, value in enumerate(cell):
            latency[bucket] += value
    for i, ((model, live), cell) in enumerate(latencies.items()):
        _give_way(i)
        if live != NO_VERSION:
            families.add("hotfit_predictions_total", cell[ROWS], model, live)
        families.add_histogram(
            "hotfit_request_duration_seconds", SHOWN_BOUNDS_S, coarse(cell), model, live
        )
    in_flight = sum(worker.in_flight for worker in total.running)
    families.add("hotfit_requests_in_flight", in_flight)


def shown_versions(total: Sum) -> dict[str, set[str]]:
    """Model -> versions with series: served and replaced ones; where none serves, the newest."""
    shown = total.kept_versions
    found: dict[str, set[str]] = {}
    for model, live, _, _ in total.cells:
        if live != NO_VERSION and model not in shown:
            found.setdefault(model, set()).add(live)
    return shown | {model: set(sorted(each)[-_NEWEST:]) for model, each in found.items()}


def coarse(cell: Cell) -> Distribution:
    """A cell's latencies over SHOWN_BOUNDS_S."""
    found, shown = Distribution.over(SHOWN_BOUNDS_S), 0
    for i, n in enumerate(cell[: len(BOUNDS_S) + 1]):
        while shown < len(SHOWN_BOUNDS_S) and (
            i == len(BOUNDS_S) or BOUNDS_S[i] > SHOWN_BOUNDS_S[shown]
        ):
            shown += 1
        found.counts[shown] += int(n)
    found.total = cell[SUM_S]
    return found


def _add_swaps(families: Families, total: Sum) -> None:
    swapped = {model for model, _ in total.swaps} | total.kept_versions.keys()
    for model in sorted(swapped):
        for outcome in OUTCOMES:
            # Zeros too: the growth of a series that begins with its first count is not seen.
            n = total.swaps.get((model, outcome), 0)
            families.add("hotfit_swaps_total", n, model, outcome)
    for stage, durations in sorted(total.stages.items()):
        families.add_histogram(
            "hotfit_swap_stage_duration_seconds", STAGE_BOUNDS_S, durations, stage
        )
    families.add("hotfit_swap_failed_requests_total", total.n_failed_in_swaps)
    newest: dict[str, int] = {}
    for worker in total.running:
        for model, window in worker.windows.items():
            newest[model] = max(newest.get(model, 0), window.generation)
    for model, generation in sorted(newest.items()):
        of_last = [
            worker.windows[model]
            for worker in total.running
            if model in worker.windows and worker.windows[model].generation == generation
        ]
        for name, counts in (
            ("before", [each.before for each in of_last]),
            ("after", [each.after or {} for each in of_last]),
        ):
            p99_s = quantile_s(0.99, counts)
            if p99_s is not None:
                families.add("hotfit_swap_p99_seconds", p99_s, model, name)


def _add_models(families: Families, scrape: Scrape) -> None:
    running, now = scrape.total.running, scrape.now.timestamp()
    newest: dict[str, Served] = {}
    for worker in running:
        for model, served in worker.served.items():
            if model not in newest or served.generation > newest[model].generation:
                newest[model] = served
    for model, served in sorted(newest.items()):
        n_workers = sum(
            (mine := worker.served.get(model)) is not None and mine.version == served.version
            for worker in running
        )
        families.add("hotfit_model_info", 1, model, served.version)
        families.add("hotfit_model_generation", served.generation, model)
        families.add("hotfit_model_workers", n_workers, model)
        families.add("hotfit_model_trained_age_seconds", max(0, now - served.trained_at), model)
        if served.watermark is not None:
            families.add("hotfit_model_data_age_seconds", max(0, now - served.watermark), model)
    degraded = {model for worker in running for model in worker.models.degraded}
    quarantined = {model for worker in running for model in worker.models.quarantined}
    for model in sorted(newest.keys() | degraded | quarantined):
        families.add("hotfit_model_degraded", model in degraded, model)
        families.add("hotfit_model_quarantined", model in quarantined, model)
    for state in ("registered", "loaded", "degraded", "quarantined"):
        n = max((getattr(worker.models, f"n_{state}") for worker in running), default=0)
        families.add("hotfit_models", n, state)
    oldest = [worker.models.oldest_watermark for worker in running]
    if known := [each for each in oldest if each is not None]:
        families.add("hotfit_oldest_data_age_seconds", max(0, now - min(known)))


def _add_workers(families: Families, scrape: Scrape) -> None:
    total = scrape.total
    families.add("hotfit_workers_expected", scrape.expected_workers)
    families.add("hotfit_workers_running", len(total.running))
    for outcome, n in sorted(total.logged.items()):
        families.add("hotfit_logged_predictions_total", n, outcome)
    families.add("hotfit_worker_starts_total", total.n_starts)
    families.add("hotfit_worker_deaths_total", total.n_deaths)
    for worker in total.running:
        pid = str(worker.pid)
        age_s = max(0.0, (scrape.now - worker.written_at).total_seconds())
        families.add("hotfit_worker_memory_bytes", worker.memory_bytes, pid)
        families.add("hotfit_worker_watcher_up", worker.watcher_is_well, pid)
        families.add("hotfit_worker_heartbeat_age_seconds", age_s, pid)
