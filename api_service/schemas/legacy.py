"""Paths of existing clients, in the fields that those clients read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api_service.schemas.common import LIMIT, MODEL, OFFSET, PAGE, Fields, Whole
from api_service.schemas.models import ONE_MODEL
from api_service.schemas.operation import Answer, Body, Operation, Query, Time
from api_service.schemas.records import DAYS, FORMAT, MANY, SINCE
from api_service.schemas.serving import FOR_USER, POPULAR, SIMILAR
from api_service.schemas.training import FORGET, LOCATION

Wait = bool | Annotated[float, Meta(ge=0, le=60)]
Days = Annotated[int, Meta(ge=1, le=3660)]


class Triggered(msgspec.Struct, kw_only=True):
    success: bool
    job_id: str | None
    status: str
    message: str
    products_count: Whole | UnsetType | None = UNSET


class TrainProducts(msgspec.Struct, forbid_unknown_fields=True):
    reason: str | UnsetType | None = UNSET
    days: Days | UnsetType | None = UNSET
    parameters: Fields | UnsetType | None = UNSET
    incremental: bool | UnsetType | None = UNSET
    force: bool | UnsetType | None = UNSET
    wait: Wait | UnsetType | None = UNSET


class RetrainDevice(msgspec.Struct, forbid_unknown_fields=True):
    device_id: str | UnsetType | None = UNSET
    days: Days | UnsetType | None = UNSET
    background: bool | UnsetType = UNSET
    reason: str | UnsetType | None = UNSET
    force: bool | UnsetType | None = UNSET


class DeviceRun(msgspec.Struct, kw_only=True):
    run_id: str
    model: str
    device_id: str | None
    version: str | None
    trigger: str | None
    trained_at: Time | None
    days_used: Whole | None
    rows_used: Whole | None
    mae: float | None
    rmse: float | None
    r2: float | None
    train_samples: Whole | None
    test_samples: Whole | None
    features: list[str] | None
    model_path: str | None
    status: str
    verdict: str | None
    error: str | None
    promoted: bool | None


class DeviceRuns(msgspec.Struct, kw_only=True):
    runs: list[DeviceRun]
    total: Whole
    next: str | UnsetType = UNSET


class StoredVersion(msgspec.Struct):
    name: str
    path: str
    created: Time
    is_current: bool


class StoredVersions(msgspec.Struct, kw_only=True):
    models: list[StoredVersion]
    total: Whole
    next: str | UnsetType = UNSET


class ReloadRequest(msgspec.Struct, forbid_unknown_fields=True):
    model: str | UnsetType = UNSET
    model_path: str | UnsetType | None = UNSET
    model_name: str | UnsetType | None = UNSET
    version: str | UnsetType | None = UNSET


class Reloaded(msgspec.Struct):
    success: bool
    previous_model: str | None
    new_model: str | None
    reload_time_seconds: float
    message: str


class Job(msgspec.Struct):
    job_id: str
    model: str
    status: str
    progress_pct: float
    started_at: Time | None
    completed_at: Time | None
    duration_seconds: float | None
    model_path: str | None
    error: str | None


class TrainingStatistics(msgspec.Struct):
    current_job: Job | None
    history: Fields
    data_buffer: Fields
    ready_to_train: bool
    ready_reason: str
    config: Fields


class CancelRequest(msgspec.Struct, forbid_unknown_fields=True):
    model: str | UnsetType = UNSET
    job_id: str | UnsetType | None = UNSET
    reason: str | UnsetType | None = UNSET


class TrainingData(msgspec.Struct, kw_only=True):
    """A page of each stream of the model, under its name."""

    metadata: Fields
    next: str | UnsetType = UNSET


FORCE = Query("force", bool, "train although nothing has changed")
WAIT = Query("wait", Wait, "true, or for how many seconds to wait for the end")
JOB = Query("job_id", str, "id of a run")
DEVICE = Query("device_id", str, "id of a device")
TRAINED = {
    200: Answer(Triggered, "ended within `wait`"),
    202: Answer(Triggered, "asked for", headers=LOCATION),
}
NONE_OR_SEVERAL = (400, 404)
ASKED = (*NONE_OR_SEVERAL, 409, 503)

OPERATIONS: Mapping[str, Operation] = {
    "POST /train": Operation(
        "A product changed: POST /models/<model>/events; with `wait`, a training.",
        {
            200: TRAINED[200],
            202: Answer(Triggered, "written down, or asked for"),
        },
        query=(MODEL, WAIT, FORCE),
        body=Body(TrainProducts, is_optional=True),
        errors=ASKED,
    ),
    "POST /api/retrain": Operation(
        "POST /models/<model>/train of the recommender.",
        TRAINED,
        query=(MODEL, Query("days", Days, "train on the newest days only"), WAIT, FORCE),
        body=Body(TrainProducts, is_optional=True),
        errors=ASKED,
    ),
    "GET /api/model/info": Operation(
        "GET /models/<model> of the recommender.", ONE_MODEL, query=(MODEL,), errors=ASKED
    ),
    "GET /api/recommendations/product/<path:product_id>": SIMILAR,
    "GET /api/recommendations/user/<path:user_id>": FOR_USER,
    "GET /api/recommendations/popular": POPULAR,
    "GET /api/products/training_data/": Operation(
        "What was fed, all streams in one answer.",
        {
            200: Answer(TrainingData, "a page of each stream", headers={"ETag": "of the records"}),
            304: Answer(None, "nothing has changed since the ETag in If-None-Match"),
        },
        query=(MODEL, DAYS, SINCE, FORMAT, MANY),
        errors=ASKED,
    ),
    "POST /api/ml/retrain": Operation(
        "POST /models/<model>/train of a device.",
        TRAINED,
        query=(MODEL,),
        body=Body(RetrainDevice, is_optional=True),
        errors=ASKED,
    ),
    "GET /api/ml/runs": Operation(
        "GET /runs of devices.",
        {200: Answer(DeviceRuns, "a page of runs, newest first")},
        query=(LIMIT, OFFSET, MODEL, DEVICE),
        errors=ASKED,
    ),
    "GET /api/ml/runs/<run_id>": Operation(
        "GET /runs/<run_id>.", {200: Answer(DeviceRun, "the run")}, errors=(503,)
    ),
    "DELETE /api/ml/runs/<run_id>": FORGET,
    "GET /api/ml/model/current": Operation(
        "GET /models/<model> of a device.", ONE_MODEL, query=(MODEL, DEVICE), errors=ASKED
    ),
    "GET /admin/models": Operation(
        "Stored versions.",
        {200: Answer(StoredVersions, "a page of versions, newest first")},
        query=(*PAGE, MODEL),
        errors=ASKED,
    ),
    "POST /admin/reload-model": Operation(
        "POST /models/<model>/reload, and wait for the swap.",
        {
            200: Answer(Reloaded, "this worker serves it"),
            202: Answer(Reloaded, "asked for; it was not seen to serve in time"),
        },
        query=(
            MODEL,
            Query("version", str, "a stored version"),
            Query("model_path", str, "a path as GET /admin/models lists it"),
            Query("model_name", str, "a name as GET /admin/models lists it"),
        ),
        body=Body(ReloadRequest, is_optional=True),
        errors=ASKED,
    ),
    "GET /admin/model-info": Operation(
        "GET /models/<model>.", ONE_MODEL, query=(MODEL,), errors=ASKED
    ),
    "POST /admin/trigger-training": Operation(
        "POST /models/<model>/train.",
        TRAINED,
        query=(
            MODEL,
            Query("incremental", bool, "continue the served version where the estimator can"),
            Query("epochs", Annotated[int, Meta(ge=1)], "without effect: one pass fits it"),
            WAIT,
            FORCE,
        ),
        errors=ASKED,
    ),
    "GET /admin/training-status": Operation(
        "How a run stands; the newest without job_id.",
        {200: Answer(Job, "the run")},
        query=(MODEL, JOB),
        errors=ASKED,
    ),
    "GET /admin/training-stats": Operation(
        "How training stands.",
        {200: Answer(TrainingStatistics, "as last reported")},
        query=(MODEL,),
        errors=ASKED,
    ),
    "POST /admin/cancel-training": Operation(
        "POST /models/<model>/training/cancel.",
        {202: Answer(Triggered, "the retrain daemon was asked")},
        query=(MODEL, JOB, Query("reason", str, "kept in the log")),
        body=Body(CancelRequest, is_optional=True),
        errors=ASKED,
    ),
}
