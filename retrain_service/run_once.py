"""Train one model once in this process with the daemon's loop: read, fit, judge, promote.

The daemon's own loop does it, held to one model and to what was asked. The caller holds the
retrain lock. Knows no command line.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from retrain_service.model_controller import ModelController
from retrain_service.retrain_loop import RetrainLoop
from retrain_service.triggers.manual_only import decide_when_asked
from shared.errors import NotFound, SourceMisconfigured, SourceUnavailable, StateConflict
from shared.exchange.control_request import Request
from shared.run_log.reader import reading
from shared.run_log.run import UNFINISHED, Run
from shared.settings.root import Settings
from shared.versions.model_names import full_name, split_name

LONGEST_PAUSE_S = 0.2
MakeRequest = Callable[[str, Mapping[str, Any]], Request]
Show = Callable[[str, float | None], None]


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What came of one model. `run` is None when there was nothing to train on."""

    name: str
    run: Run | None
    sentence: str


def train_once(
    settings: Settings,
    name: str,
    *,
    make_request: MakeRequest,
    options: Mapping[str, Any],
    clock: Callable[[], datetime],
    stop: threading.Event,
    patience_s: float,
    show: Show,
) -> list[RunOutcome]:
    """Train `name`; a configured model with one model per entity: all its entities.

    Args:
        patience_s: how long a source may be away before that is the end.
        stop: set by a signal; a run under way is then abandoned.

    Raises:
        SourceUnavailable, SourceMisconfigured: not everything could be read; nothing was trained.
        NotFound: the data know no such entity.
        StateConflict: told to stop.
    """
    wake = threading.Event()
    loop = RetrainLoop(settings, wake=wake, only=split_name(name)[0], decide=decide_when_asked)
    work = _Work(loop, wake, settings, name, clock, stop, show)
    try:
        loop.initialize(clock())
        work.read_all(patience_s)
        return work.train_all(make_request, options)
    finally:
        loop.shutdown(clock())


class _Work:
    def __init__(
        self,
        loop: RetrainLoop,
        wake: threading.Event,
        settings: Settings,
        name: str,
        clock: Callable[[], datetime],
        stop: threading.Event,
        show: Show,
    ) -> None:
        self._loop, self._wake, self._settings, self._name = loop, wake, settings, name
        self._clock, self._stop, self._show = clock, stop, show
        self._pause_s = min(LONGEST_PAUSE_S, settings.retrain.tick_interval_s)

    @property
    def _controller(self) -> ModelController:
        return self._loop.controller(split_name(self._name)[0])

    def _tick(self) -> None:
        if self._stop.is_set():
            raise StateConflict("told to stop; a run under way was abandoned.")
        self._wake.clear()
        self._loop.tick(self._clock())
        self._wake.wait(self._pause_s)

    def read_all(self, patience_s: float) -> None:
        """Until every stream has been read to its end."""
        in_trouble_since: datetime | None = None
        while not self._controller.is_caught_up:
            self._tick()
            sources = self._controller.sources
            if sources:
                n_records = sum(each.n_records for each in sources)
                self._show(f"reading, {n_records:,} records", None)
            for each in sources:
                if each.state == "misconfigured":
                    raise SourceMisconfigured(f"{each.source}/{each.stream}: {each.sentence}")
            trouble = next(
                (
                    f"{each.source}/{each.stream}: {each.sentence}"
                    for each in sources
                    if each.state in ("unavailable", "budget")
                ),
                self._controller.error,
            )
            in_trouble_since = (in_trouble_since or self._clock()) if trouble else None
            if (
                trouble
                and in_trouble_since is not None
                and (self._clock() - in_trouble_since).total_seconds() >= patience_s
            ):
                raise SourceUnavailable(trouble)

    def train_all(self, make_request: MakeRequest, options: Mapping[str, Any]) -> list[RunOutcome]:
        names = self._names()
        self._tick()  # so that what was read last is counted
        reports = self._controller.report()
        asked = {
            name: make_request(name, options) for name in names if reports[name].n_usable_records
        }
        ended: dict[str, Run] = {}
        while len(ended) < len(asked):
            for name, request in asked.items():
                if name not in ended:
                    self._controller.handle(request, self._clock())
            self._tick()
            for name, request in asked.items():
                run = self._run(request.id)
                if name not in ended and run is not None and run.status not in UNFINISHED:
                    ended[name] = run
            self._show_progress(asked, ended)
        return [
            RunOutcome(name, ended[name], outcome_sentence(ended[name]))
            if name in ended
            else RunOutcome(name, None, f"{reports[name].ready_reason}.")
            for name in names
        ]

    def _names(self) -> Sequence[str]:
        model, entity = split_name(self._name)
        known = sorted(training.name for training in self._controller.trainings.values())
        if full_name(model, entity) in known:
            return [self._name]
        if not entity and not known:
            why = self._controller.shortage or "no record could be read; `check` says why."
            raise NotFound(f"there is nothing to train {model} on yet: {why}")
        if entity:
            raise NotFound(
                f"the data know no {self._name}; known: {', '.join(known) or 'none yet'}."
            )
        return known

    def _run(self, run_id: str) -> Run | None:
        try:
            with reading(self._settings.run_log_path) as log:
                return log.run(run_id)
        except NotFound:
            return None

    def _show_progress(self, asked: Mapping[str, Request], ended: Mapping[str, Run]) -> None:
        for name, report in self._controller.report().items():
            if name in asked and name not in ended and report.stage is not None:
                where = f"{name}: " if len(asked) > 1 else ""
                self._show(f"{where}{report.stage}", report.progress)
                return


def outcome_sentence(run: Run) -> str:
    """Why it was promoted or not, or what went wrong."""
    return run.error or run.verdict or run.status.value
