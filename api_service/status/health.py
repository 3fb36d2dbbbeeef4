"""Summarise all reports as ok, degraded or not_ready, with one sentence. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api_service.serving_slot import ServingSlot
from api_service.status.live import live_line, live_sentence
from api_service.status.models import in_words, model_entry, seconds_since
from api_service.status.problem_codes import Problem, ProblemCode
from api_service.status.retrain_daemon import RetrainDaemon
from api_service.status.workers import STALE_AFTER_S
from shared.exchange.retrain_report import TrainingReport
from shared.exchange.worker_report import WatcherReport, WorkerReport

MOST_SHOWN = 100
"""With more models than this, health tells only of those that are not well."""

_TROUBLED_SOURCE = frozenset({"unavailable", "misconfigured", "budget", "withheld"})


@dataclass(frozen=True, slots=True)
class HealthInputs:
    """What health is judged by.

    slots : this worker's. workers : reports of workers that run, of this and other processes.
    problems : of this worker, now; its report may be older, or could not be written.
    """

    now: datetime
    slots: Sequence[ServingSlot]
    workers: Sequence[WorkerReport]
    expected_workers: int
    retrain: RetrainDaemon
    problems: Sequence[str] = ()


def summarize(inputs: HealthInputs) -> dict[str, Any]:
    """The body of `GET /health`."""
    shown = _shown(inputs)
    entries = [model_entry(slot, inputs.workers, inputs.now) for slot in shown]
    trainings = inputs.retrain.report.models if inputs.retrain.report else {}
    for slot, entry in zip(shown, entries, strict=True):
        training = trainings.get(entry["name"])
        entry["training"] = _training_line(training)
        entry["live"] = _live(training, entry["version"], slot)
    problems = list(_problems(inputs, shown, entries, trainings))
    is_ready = not_ready_reason(inputs.slots) is None
    status = ("degraded" if problems else "ok") if is_ready else "not_ready"
    return {
        "status": status,
        "sentence": _sentence(problems, entries, inputs),
        "problems": [problem.sentence for problem in problems],
        "problem_codes": [problem.code for problem in problems],
        "models": entries,
        "models_total": len(inputs.slots),
        "models_idle": sum(slot.is_idle for slot in inputs.slots),
        "workers": {"expected": inputs.expected_workers, "running": len(inputs.workers)},
        "retrain": {
            "state": inputs.retrain.state,
            "sentence": inputs.retrain.sentence,
            "last_heard_s": seconds_since(
                inputs.retrain.report.updated_at if inputs.retrain.report else None, inputs.now
            ),
        },
        "time": inputs.now,
    }


def not_ready_reason(slots: Sequence[ServingSlot]) -> str | None:
    """Why no request can be answered; None when at least one model serves."""
    if any(slot.live is not None or slot.is_idle for slot in slots):
        return None
    if not slots:
        return "no model is configured and none was ever published; add [models.NAME] to the file."
    return " ".join(f"{slot.name}: {slot.not_ready_reason}" for slot in slots[:3])


def _shown(inputs: HealthInputs) -> list[ServingSlot]:
    """The slots that health tells of, in their order: all, or of many those that are not well."""
    if len(inputs.slots) <= MOST_SHOWN:
        return list(inputs.slots)
    degraded = {
        name
        for report in inputs.workers
        for name, line in report.models.items()
        if line.degraded or line.error
    }
    unwell = [
        slot
        for slot in inputs.slots
        if slot.name in degraded or (slot.live is None and not slot.is_idle)
    ]
    return unwell[:MOST_SHOWN]


def _problems(
    inputs: HealthInputs,
    shown: Sequence[ServingSlot],
    entries: Sequence[dict[str, Any]],
    trainings: dict[str, TrainingReport],
) -> Iterator[Problem]:
    """The most pressing first."""
    for slot, entry in zip(shown, entries, strict=True):
        name = slot.name
        if slot.live is None and not slot.is_idle:
            training = trainings.get(name)
            sentence = f"{name} serves no version: {slot.not_ready_reason}{_what_comes(training)}"
            yield Problem(ProblemCode.NO_VERSION_SERVED, sentence)
        elif entry["degraded"]:
            yield Problem(entry["degraded_code"], f"{name}: {entry['degraded']}")
        if slot.live is not None and slot.live.manifest.is_baseline:
            sentence = (
                f"{name} serves the naive baseline ({slot.live.version}): it is surely better than"
                " the last model. A candidate that is surely better takes its place."
            )
            yield Problem(ProblemCode.BASELINE_SERVED, sentence)
    of_workers = (problem for report in inputs.workers for problem in report.problems)
    for sentence in dict.fromkeys([*inputs.problems, *of_workers]):
        yield Problem(ProblemCode.WORKER_TROUBLE, sentence)
    missing = inputs.expected_workers - len(inputs.workers)
    if not inputs.workers:  # but one runs: it says this
        sentence = "no worker's report is found; they are written again within seconds."
        yield Problem(ProblemCode.WORKERS_MISSING, sentence)
    elif missing > 0:
        yield Problem(
            ProblemCode.WORKERS_MISSING,
            f"{missing} of {inputs.expected_workers} workers are not running; they are started"
            " again, the log says why they ended.",
        )
    for report in inputs.workers:
        age_s = seconds_since(report.updated_at, inputs.now) or 0
        if age_s > STALE_AFTER_S:
            sentence = f"worker {report.pid} has not reported for {in_words(age_s)}."
            yield Problem(ProblemCode.WORKER_SILENT, sentence)
    watchers = [report.watcher for report in inputs.workers if not report.watcher.is_well]
    yield from sorted({Problem(_watcher_code(watcher), watcher.sentence) for watcher in watchers})
    if not inputs.retrain.is_running:
        yield Problem(f"retrain_{inputs.retrain.state}", inputs.retrain.sentence)
        return
    if inputs.retrain.report and inputs.retrain.report.error:
        yield Problem(ProblemCode.RETRAIN_ERROR, f"retrain daemon: {inputs.retrain.report.error}")
    for name, training in trainings.items():
        for source in training.sources:
            if source.state in _TROUBLED_SOURCE:
                stream = f"{source.source}.{source.stream}"
                sentence = f"{name}: {stream} is {source.state}: {source.sentence}"
                yield Problem(f"source_{source.state}", sentence)
        if training.error:
            yield Problem(ProblemCode.TRAINING_ERROR, f"training of {name}: {training.error}")


def _watcher_code(watcher: WatcherReport) -> ProblemCode:
    return ProblemCode.RELOAD_LOOP_STUCK if watcher.is_stuck else ProblemCode.NO_DIRECTORY_EVENTS


def _what_comes(training: TrainingReport | None) -> str:
    if training is None:
        return ""
    if training.running_run_id:
        stage = f", {training.stage}" if training.stage else ""
        return f" Training runs now ({training.running_run_id}{stage})."
    return f" Next training: {training.next_due}." if training.next_due else ""


def _live(training: TrainingReport | None, served: str | None, slot: ServingSlot) -> str | None:
    """A sentence on live errors; None while nothing is known of what the version answered."""
    metrics = slot.live.manifest.metrics if slot.live is not None else {}
    found = [one for one in training.live if one.version == served] if training else []
    return live_sentence([live_line(one, metrics) for one in found], served) if found else None


def _training_line(training: TrainingReport | None) -> dict[str, Any] | None:
    if training is None:
        return None
    return {
        "next_due": training.next_due,
        "new_records": training.new_records,
        "running": training.running_run_id,
        "hold": training.hold,
        "error": training.error,
        "sources": [
            {
                "stream": f"{source.source}.{source.stream}",
                "state": source.state,
                "sentence": source.sentence,
            }
            for source in training.sources
        ],
    }


def _sentence(
    problems: Sequence[Problem], entries: Sequence[dict[str, Any]], inputs: HealthInputs
) -> str:
    if problems:
        more = f" (and {len(problems) - 1} more, see problems)" if len(problems) > 1 else ""
        return problems[0].sentence + more
    workers = f"{len(inputs.workers)} worker{'' if len(inputs.workers) == 1 else 's'}"
    if len(inputs.slots) != 1:
        n_idle = sum(slot.is_idle for slot in inputs.slots)
        idle = f", {n_idle} of them closed until somebody asks for them" if n_idle else ""
        return f"All is well: {len(inputs.slots)} models are served by {workers}{idle}."
    if inputs.slots[0].is_idle:
        return f"All is well: {entries[0]['name']} is opened by {workers} on its first request."
    entry = entries[0]
    trained = in_words(seconds_since(entry["trained_at"], inputs.now))
    knows = f", its newest record is {entry['watermark_age']} old" if entry["watermark"] else ""
    if entry["fitted_until"]:
        knows += f", the newest that it was fitted on {entry['fitted_age']}"
    switching = [line for line in entry["workers"] if line["version"] != entry["version"]]
    also = f" {len(switching)} of them on another version for the moment;" if switching else ""
    return (
        f"All is well: {entry['name']} {entry['version']} is served by {workers};{also}"
        f" trained {trained} ago{knows}."
    )
