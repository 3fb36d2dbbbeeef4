"""What paths of existing clients answer, in the fields that those clients read."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from api_service.schemas.common import Fields, Identity, Whole
from api_service.schemas.models import Model
from api_service.schemas.operation import Time


class Triggered(msgspec.Struct, kw_only=True):
    success: bool
    job_id: str | None
    status: str
    message: str
    error: str | None
    products_count: Whole | UnsetType | None = UNSET
    epochs: Whole | UnsetType = UNSET
    incremental: bool | UnsetType = UNSET
    background: bool | UnsetType = UNSET


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
    timestamp: str
    created: Time
    modified: Time
    size_mb: float
    is_current: bool


class StoredVersions(msgspec.Struct, kw_only=True):
    models: list[StoredVersion]
    total: Whole
    count: Whole
    models_dir: str
    current_model: str | None
    next: str | UnsetType = UNSET


class RecommenderInfo(Model, kw_only=True):
    """GET /models/<model>, and `status`: trained or not_trained."""

    status: str
    num_products: Whole | UnsetType = UNSET
    num_features: Whole | UnsetType = UNSET
    model_path: str | UnsetType = UNSET


class DeviceModel(msgspec.Struct, kw_only=True):
    """Where there is one also all of GET /models/<model>."""

    model_exists: bool
    name: str | UnsetType = UNSET
    version: str | UnsetType | None = UNSET
    updated_at: Time | UnsetType = UNSET
    model_path: str | UnsetType = UNSET
    metrics: Fields | UnsetType = UNSET


class ServerModelInfo(Model, kw_only=True):
    """GET /models/<model>, in further names."""

    mode: str | None
    model_path: str | None
    model_name: str | None
    model_timestamp: str | None
    loaded_at: Time | None
    training_config: Fields
    config: Fields
    servers: Fields


class Explanation(Identity, kw_only=True):
    server_name: str
    timestamp: str
    prediction: Fields
    shap: Fields
    attention: Fields
    counterfactuals: list[Fields]


class HistoryTable(msgspec.Struct):
    success: bool
    table: str
    time_range: str
    csv_data: str
    filename: str


class Reloaded(msgspec.Struct):
    success: bool
    previous_model: str | None
    new_model: str | None
    model_timestamp: str | None
    model_path: str | None
    current_model: str | None
    error: str | None
    reload_time_seconds: float
    message: str


class Job(msgspec.Struct):
    job_id: str
    model: str
    status: str
    epochs: Whole
    incremental: bool
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


class TrainingData(msgspec.Struct, kw_only=True):
    """A page of each stream of the model, under its name."""

    metadata: Fields
    next: str | UnsetType = UNSET
