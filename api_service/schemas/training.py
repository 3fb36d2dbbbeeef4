"""Training on demand, how it stands, and the run log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api_service.schemas.common import REASON, Asked, Fields, Whole
from api_service.schemas.operation import Answer, Body, Operation, Time
from api_service.schemas.requests import (
    Cancel,
    EventsQuery,
    RejectedPage,
    RunsPage,
    TrainRequest,
)
from shared.exchange.rejected_records import RejectedCount, RejectedRecord
from shared.exchange.retrain_report import BufferReport, LiveVersion, SourceReport
from shared.run_log.run import RunStatus

Share = Annotated[float, Meta(ge=0, le=1)]


class Queued(Asked, kw_only=True):
    """The run that was asked for; `url` is where it can be looked at."""

    run_id: str
    status: str
    url: str


class RunLine(msgspec.Struct, kw_only=True):
    """A run as a list shows it; durations are in seconds."""

    run_id: str
    model: str
    entity: str | None
    version: str | None
    trigger: str
    trigger_reason: str
    status: RunStatus
    stage: str | None
    progress: Share | None
    requested_at: Time
    started_at: Time | None
    finished_at: Time | None
    duration_s: float | None
    rows: Whole | None
    days: Whole | None
    promoted: bool | None
    verdict: str | None
    error: str | None


class Run(msgspec.Struct, kw_only=True):
    """A run with all that is known of it; of one that waits only the first fields are known."""

    run_id: str
    model: str
    status: RunStatus
    trigger: str
    trigger_reason: str
    requested_at: Time
    entity: str | UnsetType | None = UNSET
    version: str | UnsetType | None = UNSET
    stage: str | UnsetType | None = UNSET
    progress: Share | UnsetType | None = UNSET
    started_at: Time | UnsetType | None = UNSET
    finished_at: Time | UnsetType | None = UNSET
    duration_s: float | UnsetType | None = UNSET
    fit_s: float | UnsetType | None = UNSET
    refit_s: float | UnsetType | None = UNSET
    records: Whole | UnsetType | None = UNSET
    rejected_records: dict[str, Whole] | UnsetType | None = UNSET
    snapshot_digest: str | UnsetType | None = UNSET
    high_seq: Whole | UnsetType | None = UNSET
    is_retry: bool | UnsetType | None = UNSET
    incremental: bool | UnsetType | None = UNSET
    candidate: str | UnsetType | None = UNSET
    selection: Fields | UnsetType | None = UNSET
    seed: int | UnsetType | None = UNSET
    options: Fields | UnsetType | None = UNSET
    rows: Whole | UnsetType | None = UNSET
    days: Whole | UnsetType | None = UNSET
    train_rows: Whole | UnsetType | None = UNSET
    test_rows: Whole | UnsetType | None = UNSET
    metrics: dict[str, float | None] | UnsetType | None = UNSET
    metric_unit: str | UnsetType | None = UNSET
    champion_metrics: dict[str, float | None] | UnsetType | None = UNSET
    baseline_metrics: dict[str, float | None] | UnsetType | None = UNSET
    gates: list[Fields] | UnsetType | None = UNSET
    workload: str | UnsetType | None = UNSET
    parameters: Fields | UnsetType | None = UNSET
    libraries: dict[str, str] | UnsetType | None = UNSET
    model_path: str | UnsetType | None = UNSET
    promoted: bool | UnsetType | None = UNSET
    verdict: str | UnsetType | None = UNSET
    error: str | UnsetType | None = UNSET
    details: Fields | UnsetType | None = UNSET


class EndedRun(Run, kw_only=True):
    url: str


class Runs(msgspec.Struct, kw_only=True):
    runs: list[RunLine]
    total: Whole
    next: str | UnsetType = UNSET


class TrainingState(msgspec.Struct, kw_only=True):
    """What the retrain daemon last reported; without a report only the first fields are known."""

    model: str
    retrain_daemon: str
    sentence: str
    reported_at: Time | None
    totals: Fields
    new_records: Whole | UnsetType = UNSET
    new_records_needed: Whole | UnsetType = UNSET
    next_due: str | UnsetType = UNSET
    last_run_id: str | UnsetType | None = UNSET
    running_run_id: str | UnsetType | None = UNSET
    stage: str | UnsetType | None = UNSET
    progress: Share | UnsetType | None = UNSET
    error: str | UnsetType | None = UNSET
    hold: bool | UnsetType = UNSET
    n_usable_records: Whole | UnsetType = UNSET
    is_ready: bool | UnsetType = UNSET
    ready_reason: str | UnsetType = UNSET
    buffer: BufferReport | UnsetType | None = UNSET
    sources: list[SourceReport] | UnsetType = UNSET
    live: list[LiveVersion] | UnsetType = UNSET


class Rejected(msgspec.Struct, kw_only=True):
    """total : of the records that are listed. counts : of all, listed or not."""

    model: str
    written_at: Time | None
    counts: list[RejectedCount]
    records: list[RejectedRecord]
    total: Whole
    next: str | UnsetType = UNSET


class Told(msgspec.Struct):
    model: str
    events_waiting: Whole
    sentence: str


class Event(msgspec.Struct):
    seq: Whole
    at: Time
    model: str
    kind: str
    sentence: str
    run_id: str | None
    details: Fields


class Events(msgspec.Struct, kw_only=True):
    events: list[Event]
    total: Whole
    next: str | UnsetType = UNSET


LOCATION = {"Location": "the route of the run"}
ONE_RUN = {200: Answer(Run, "the run")}
FORGET = Operation(
    "Take a run out of the log; its version, if it has one, stays.",
    {202: Answer(Asked, "the retrain daemon was asked")},
    errors=(409, 503),
)

OPERATIONS: Mapping[str, Operation] = {
    "POST /models/<model>/train": Operation(
        "Train now.",
        {
            200: Answer(EndedRun, "the run, ended within `wait`"),
            202: Answer(Queued, "the run is queued", headers=LOCATION),
        },
        body=Body(TrainRequest, is_optional=True),
        errors=(409, 503),
    ),
    "POST /models/<model>/events": Operation(
        'Say that "the data changed"; a burst of them is one run.',
        {202: Answer(Told, "written down")},
        body=REASON,
        errors=(409, 503),
    ),
    "POST /models/<model>/training/cancel": Operation(
        "Stop a training.",
        {202: Answer(Asked, "the retrain daemon was asked")},
        body=Body(Cancel, is_optional=True),
        errors=(409, 503),
    ),
    "GET /models/<model>/training": Operation(
        "How training stands.", {200: Answer(TrainingState, "as last reported")}, errors=(503,)
    ),
    "GET /models/<model>/rejected": Operation(
        "Records that cannot be used, newest first, and why.",
        {200: Answer(Rejected, "a page of records")},
        query=RejectedPage,
        errors=(503,),
    ),
    "GET /runs": Operation(
        "Training runs, newest first.",
        {200: Answer(Runs, "a page of runs")},
        query=RunsPage,
        errors=(503,),
    ),
    "GET /runs/<run_id>": Operation("One run with all that is known.", ONE_RUN, errors=(503,)),
    "DELETE /runs/<run_id>": FORGET,
    "GET /events": Operation(
        "The ordered log: decisions, promotions, outages, requests of people.",
        {200: Answer(Events, "oldest first")},
        query=EventsQuery,
        errors=(503,),
    ),
}
