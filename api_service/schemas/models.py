"""What is served, what exists, and pointing at a version."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, UnsetType

from api_service.schemas.common import REASON, Asked, Whole
from api_service.schemas.operation import Answer, Body, Operation, Time
from api_service.schemas.requests import VersionRequest
from api_service.web.query import Page
from shared.exchange.retrain_report import LiveVersion
from shared.exchange.worker_report import Receipt
from shared.versions.manifest import Manifest


class WorkerLine(msgspec.Struct):
    pid: int
    version: str | None
    generation: int | None
    state: str
    prepared: int | UnsetType = UNSET


class LastSwap(msgspec.Struct):
    version: str
    previous: str | None
    at: Time
    took_ms: float
    drain_ms: float | None
    requests_failed: int


class ModelEntry(msgspec.Struct, kw_only=True):
    """One model as it is served; `wanted` is the version that the reload signal names.

    watermark : the newest record that the version knows. fitted_until : the newest one that its
    estimator was fitted on. candidate : which of the workload's candidates serves; "baseline" is
    its naive baseline.
    """

    name: str
    version: str | None
    generation: int | None
    state: str
    loaded: bool
    wanted: str | None
    trained_at: Time | None
    watermark: Time | None
    watermark_age_s: Whole | None
    watermark_age: str | None
    fitted_until: Time | None
    fitted_age_s: Whole | None
    fitted_age: str | None
    candidate: str | None
    workers: list[WorkerLine]
    degraded: str | None
    degraded_code: str | None
    last_error: str | None
    last_swap: LastSwap | None


class Models(msgspec.Struct, kw_only=True):
    models: list[ModelEntry]
    total: Whole
    next: str | UnsetType = UNSET


class Model(ModelEntry, kw_only=True):
    """The same in full; quarantined: "<version> generation <n>" -> reason."""

    questions: dict[str, str]
    hold: bool
    previous: str | None
    quarantined: dict[str, str]
    receipts: list[Receipt]
    manifest: Manifest | None


class Version(msgspec.Struct, kw_only=True):
    """One version; where its manifest cannot be read `manifest_error` says why."""

    version: str
    state: str
    reason: str
    run_id: str | UnsetType = UNSET
    trained_at: Time | UnsetType = UNSET
    watermark: Time | UnsetType | None = UNSET
    judged_until: Time | UnsetType | None = UNSET
    fitted_until: Time | UnsetType | None = UNSET
    metrics: dict[str, dict[str, float | None]] | UnsetType = UNSET
    promotion: str | UnsetType = UNSET
    size_bytes: Whole | UnsetType = UNSET
    manifest_error: str | UnsetType = UNSET


class Versions(msgspec.Struct, kw_only=True):
    versions: list[Version]
    total: Whole
    next: str | UnsetType = UNSET


class AskedVersion(Asked, kw_only=True):
    version: str


class LiveLine(LiveVersion, frozen=True, kw_only=True):
    """expected : the mean absolute error on held-out rows, where it is of the same kind."""

    expected: float | None


class Live(msgspec.Struct, kw_only=True):
    """Newest version first; `sentence` is of the one that serves."""

    model: str
    sentence: str
    versions: list[LiveLine]


ONE_MODEL = {200: Answer(Model, "the model")}
POINTING = {202: Answer(AskedVersion, "the retrain daemon was asked")}
ASKED = {202: Answer(Asked, "the retrain daemon was asked")}
BODY = Body(VersionRequest, is_optional=True)

OPERATIONS: Mapping[str, Operation] = {
    "GET /models": Operation(
        "What is served.", {200: Answer(Models, "a page of models")}, query=Page
    ),
    "GET /models/<model>": Operation("One model in full.", ONE_MODEL),
    "GET /models/<model>/versions": Operation(
        "Every version with its state and the reason.",
        {200: Answer(Versions, "a page of versions, newest first")},
        query=Page,
        errors=(503,),
    ),
    "GET /models/<model>/live": Operation(
        "How far answers were from what came, by version.",
        {200: Answer(Live, "live errors; no version until a truth is known")},
    ),
    "POST /models/<model>/reload": Operation(
        "Open a version again under a new generation, on every worker.",
        POINTING,
        body=BODY,
        errors=(409, 503),
    ),
    "POST /models/<model>/rollback": Operation(
        "Go back to an older version and stay there.", POINTING, body=BODY, errors=(409, 503)
    ),
    "POST /models/<model>/hold": Operation(
        "Stay at the served version.", ASKED, body=REASON, errors=(409, 503)
    ),
    "POST /models/<model>/confirm-deletions": Operation(
        "Delete the records that are withheld.", ASKED, body=REASON, errors=(409, 503)
    ),
    "POST /models/<model>/release": Operation(
        "Promote again.", ASKED, body=REASON, errors=(409, 503)
    ),
}
