"""Paths of existing clients, in the fields that those clients read."""

from __future__ import annotations

from collections.abc import Mapping

from api_service.schemas.legacy_answers import (
    DeviceModel,
    DeviceRun,
    DeviceRuns,
    Explanation,
    HistoryTable,
    Job,
    RecommenderInfo,
    Reloaded,
    ServerModelInfo,
    StoredVersions,
    TrainingData,
    TrainingStatistics,
    Triggered,
)
from api_service.schemas.operation import Answer, Body, Operation
from api_service.schemas.requests import (
    AllStreamsQuery,
    CancelJob,
    DevicePage,
    DeviceQuery,
    HistoryQuery,
    JobQuery,
    ModelPage,
    ModelQuery,
    ReloadRequest,
    RetrainDevice,
    TrainDaysQuery,
    TrainQuery,
    TrainRequest,
    TrainServersQuery,
)
from api_service.schemas.serving import FOR_USER, POPULAR, SIMILAR
from api_service.schemas.training import FORGET, LOCATION

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
        query=TrainQuery,
        body=Body(TrainRequest, is_optional=True),
        errors=(*ASKED, 401, 403),
    ),
    "POST /api/retrain": Operation(
        "POST /models/<model>/train of the recommender.",
        TRAINED,
        query=TrainDaysQuery,
        body=Body(TrainRequest, is_optional=True),
        errors=ASKED,
    ),
    "GET /api/model/info": Operation(
        "GET /models/<model> of the recommender.",
        {200: Answer(RecommenderInfo, "the model")},
        query=ModelQuery,
        errors=ASKED,
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
        query=AllStreamsQuery,
        errors=ASKED,
    ),
    "POST /api/ml/retrain": Operation(
        "POST /models/<model>/train of a device.",
        TRAINED,
        query=ModelQuery,
        body=Body(RetrainDevice, is_optional=True),
        errors=ASKED,
    ),
    "GET /api/ml/runs": Operation(
        "GET /runs of devices.",
        {200: Answer(DeviceRuns, "a page of runs, newest first")},
        query=DevicePage,
        errors=ASKED,
    ),
    "GET /api/ml/runs/<run_id>": Operation(
        "GET /runs/<run_id>.", {200: Answer(DeviceRun, "the run")}, errors=(503,)
    ),
    "DELETE /api/ml/runs/<run_id>": FORGET,
    "GET /api/ml/model/current": Operation(
        "GET /models/<model> of a device.",
        {200: Answer(DeviceModel, "the model, or that there is none")},
        query=DeviceQuery,
        errors=ASKED,
    ),
    "GET /explain/<path:server>": Operation(
        "What drives the risk of one server, and what would lower it.",
        {200: Answer(Explanation, "of its last hour")},
        query=ModelQuery,
        errors=ASKED,
    ),
    "GET /historical/export/<table>": Operation(
        "Alert levels or the state of the fleet in the past (alerts, environment), as CSV.",
        {
            200: Answer(
                HistoryTable,
                "the table in `csv_data`; bare with format=csv or Accept: text/csv",
                also={"text/csv": "the table"},
            )
        },
        query=HistoryQuery,
        errors=ASKED,
    ),
    "GET /admin/models": Operation(
        "Stored versions.",
        {200: Answer(StoredVersions, "a page of versions, newest first")},
        query=ModelPage,
        errors=ASKED,
    ),
    "POST /admin/reload-model": Operation(
        "POST /models/<model>/reload, and wait for the swap.",
        {
            200: Answer(Reloaded, "this worker serves it"),
            202: Answer(Reloaded, "asked for; it was not seen to serve in time"),
        },
        query=ReloadRequest,
        body=Body(ReloadRequest, is_optional=True),
        errors=ASKED,
    ),
    "GET /admin/model-info": Operation(
        "GET /models/<model>.",
        {200: Answer(ServerModelInfo, "the model")},
        query=ModelQuery,
        errors=ASKED,
    ),
    "POST /admin/trigger-training": Operation(
        "POST /models/<model>/train.",
        TRAINED,
        query=TrainServersQuery,
        errors=ASKED,
    ),
    "GET /admin/training-status": Operation(
        "How a run stands; the newest without job_id.",
        {200: Answer(Job, "the run")},
        query=JobQuery,
        errors=ASKED,
    ),
    "GET /admin/training-stats": Operation(
        "How training stands.",
        {200: Answer(TrainingStatistics, "as last reported")},
        query=ModelQuery,
        errors=ASKED,
    ),
    "POST /admin/cancel-training": Operation(
        "POST /models/<model>/training/cancel.",
        {202: Answer(Triggered, "the retrain daemon was asked")},
        query=CancelJob,
        body=Body(CancelJob, is_optional=True),
        errors=ASKED,
    ),
}
