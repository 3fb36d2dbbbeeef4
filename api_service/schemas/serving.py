"""Health, predictions, and what the workloads answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api_service.schemas.common import Fields, Identity, Whole
from api_service.schemas.models import ModelEntry
from api_service.schemas.operation import TEXT, Answer, Body, Operation
from api_service.schemas.requests import (
    AlertsPage,
    CustomerQuery,
    ModelQuery,
    ProductsQuery,
    ServerQuery,
)


class Alive(msgspec.Struct):
    status: Literal["alive"]


class Ready(msgspec.Struct):
    status: Literal["ready"]


class Training(msgspec.Struct):
    next_due: str
    new_records: Whole
    running: str | None
    hold: bool
    error: str | None
    sources: list[dict[str, str]]


class ModelHealth(ModelEntry, kw_only=True):
    training: Training | None
    live: str | None


class Workers(msgspec.Struct):
    expected: Whole
    running: Whole


class RetrainDaemon(msgspec.Struct):
    state: str
    sentence: str
    last_heard_s: Whole | None


class Health(msgspec.Struct):
    """How everything is; `problems` are sentences, the most pressing first; each has its code."""

    status: Literal["ok", "degraded", "not_ready"]
    sentence: str
    problems: list[str]
    problem_codes: list[str]
    models: list[ModelHealth]
    models_total: Whole
    models_idle: Whole
    workers: Workers
    retrain: RetrainDaemon
    time: str


class Rows(msgspec.Struct, forbid_unknown_fields=True):
    """Rows to predict: each has every feature of the model and no other."""

    instances: Annotated[
        list[dict[str, float | str | bool | None]],
        Meta(min_length=1),
    ]


class Predictions(Identity, kw_only=True):
    """One prediction a row, and what else the model says of it."""

    predictions: list[Any]


class ForecastRequest(msgspec.Struct, forbid_unknown_fields=True):
    forecast_days: Annotated[int, Meta(ge=1, le=90)] | UnsetType = UNSET
    current_date: Annotated[str, Meta(extra_json_schema={"format": "date"})] | UnsetType = UNSET
    service_level: Annotated[float, Meta(ge=0.5, le=0.99)] | UnsetType = UNSET
    interval: Annotated[float, Meta(ge=0.5, le=0.99)] | UnsetType = UNSET


class Forecast(Identity, kw_only=True):
    """Demand of the coming days: totals in whole pieces, days with two decimals."""

    status: str
    forecast_period_days: int
    start_date: str | UnsetType = UNSET
    end_date: str | UnsetType = UNSET
    total_restock_demand: dict[str, float] | UnsetType = UNSET
    interval: float | UnsetType = UNSET
    low: dict[str, float] | UnsetType = UNSET
    high: dict[str, float] | UnsetType = UNSET
    service_level: float | UnsetType = UNSET
    quantity_for_service_level: dict[str, Whole] | UnsetType = UNSET
    daily_breakdown: list[Fields] | UnsetType = UNSET
    history: Fields | UnsetType = UNSET
    timestamp: str | UnsetType = UNSET


class Parts(Identity, kw_only=True):
    parts: list[Any]
    total: Whole


class Recommendations(Identity, kw_only=True):
    recommendations: list[Fields]
    total: Whole
    product_id: str | UnsetType = UNSET
    user_id: str | UnsetType = UNSET
    basis: str | UnsetType = UNSET


class Fleet(Identity, kw_only=True):
    """The forecast, the risk score (0 to 100) and the alert level of each server."""

    servers: list[Fields]
    fleet: Fields
    horizons_min: list[int]
    generated_at: str
    total: Whole


class Alerts(Identity, kw_only=True):
    alerts: list[Fields]
    total: Whole
    next: str | UnsetType = UNSET


PREDICT = Operation(
    "Rows in, predictions out, by exactly one version.\n"
    "GET /models/<model> lists the features in its manifest. Models that take other requests"
    " say so in its questions.",
    {200: Answer(Predictions, "one prediction a row")},
    body=Body(Rows),
    errors=(404, 503),
)
_RECOMMENDED = {200: Answer(Recommendations, "products, the best first")}
SIMILAR = Operation("What is like a product.", _RECOMMENDED, query=ProductsQuery, errors=(503,))
FOR_USER = Operation("What suits a customer.", _RECOMMENDED, query=CustomerQuery, errors=(503,))
POPULAR = Operation("What everybody wants.", _RECOMMENDED, query=ProductsQuery, errors=(404, 503))

OPERATIONS: Mapping[str, Operation] = {
    "GET /health": Operation(
        "How everything is, for people and curl.",
        {
            200: Answer(Health, "predictions are answered"),
            503: Answer(Health, "no model serves a version"),
        },
    ),
    "GET /livez": Operation("Whether the process answers.", {200: Answer(Alive, "it does")}),
    "GET /readyz": Operation(
        "Whether predictions can be answered.",
        {200: Answer(Ready, "at least one model serves")},
        errors=(503,),
    ),
    "GET /metrics": Operation(
        "Metrics for Prometheus, of all workers of this host.",
        {200: Answer(str, "the text exposition format", TEXT)},
    ),
    "POST /models/<model>/predict": PREDICT,
    "POST /predict": PREDICT,
    "POST /forecast_restock_demand": Operation(
        "Demand of the coming days (spare_parts).",
        {200: Answer(Forecast, "totals and days")},
        query=ModelQuery,
        body=Body(ForecastRequest, is_optional=True),
        errors=(404, 503),
    ),
    "GET /parts": Operation(
        "The parts that are known (spare_parts).",
        {200: Answer(Parts, "parts of the catalogue and of past appointments")},
        query=ModelQuery,
        errors=(404, 503),
    ),
    "GET /recommendations/product/<path:product_id>": SIMILAR,
    "GET /recommendations/user/<path:user_id>": FOR_USER,
    "GET /recommendations/popular": POPULAR,
    "GET /predictions/current": Operation(
        "Forecast and risk of each server (server_metrics).",
        {200: Answer(Fleet, "the most endangered first")},
        query=ServerQuery,
        errors=(404, 409, 503),
    ),
    "GET /alerts/active": Operation(
        "Servers that need a look (server_metrics).",
        {200: Answer(Alerts, "the most endangered first")},
        query=AlertsPage,
        errors=(404, 409, 503),
    ),
}
