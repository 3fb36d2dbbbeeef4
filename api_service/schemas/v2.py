"""The Open Inference Protocol (V2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api_service.schemas.common import Fields, Whole
from api_service.schemas.operation import BINARY, Answer, Body, Operation
from api_service.schemas.requests import IndexRequest, RepositoryRequest
from api_service.v2.messages import HEADER_LENGTH

Datatype = Literal[
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "FP32",
    "FP64",
    "BF16",
    "BYTES",
]
Length = Annotated[int, Meta(ge=0)]


class Server(msgspec.Struct):
    name: str
    version: str
    extensions: list[str]


class Live(msgspec.Struct):
    live: bool
    ready: bool
    error: str | UnsetType = UNSET


class ModelReady(msgspec.Struct):
    name: str
    version: str | None
    ready: bool
    error: str | UnsetType = UNSET


class TensorMetadata(msgspec.Struct):
    """shape: -1 is the number of rows."""

    name: str
    datatype: Datatype
    shape: list[int]
    parameters: Fields | UnsetType = UNSET


class ModelMetadata(msgspec.Struct, kw_only=True):
    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    properties: dict[str, str]


class InputTensor(msgspec.Struct, kw_only=True):
    """data: flat or nested as the shape says; without it, parameters.binary_data_size says how
    many of the bytes after the JSON are this tensor's."""

    name: str
    shape: Annotated[list[Length], Meta(min_length=1, max_length=8)]
    datatype: Datatype
    parameters: dict[str, Any] | UnsetType | None = UNSET
    data: list[Any] | UnsetType = UNSET


class WantedOutput(msgspec.Struct):
    """parameters.binary_data: whether it comes as bytes after the JSON."""

    name: str
    parameters: dict[str, Any] | UnsetType | None = UNSET


class InferenceRequest(msgspec.Struct, kw_only=True):
    """One tensor a feature, or one with all columns; parameters.binary_data_output asks for all
    outputs as bytes."""

    inputs: Annotated[list[InputTensor], Meta(min_length=1)]
    id: str | UnsetType | None = UNSET
    parameters: dict[str, Any] | UnsetType | None = UNSET
    outputs: list[WantedOutput] | UnsetType | None = UNSET


class OutputTensor(msgspec.Struct, kw_only=True):
    name: str
    datatype: Datatype
    shape: list[Length]
    parameters: Fields | UnsetType = UNSET
    data: list[Any] | UnsetType = UNSET


class InferenceAnswer(msgspec.Struct, kw_only=True):
    """parameters name the generation, trained_at, fitted_until and watermark of the version."""

    model_name: str
    model_version: str
    id: str | UnsetType = UNSET
    parameters: Fields
    outputs: list[OutputTensor]


class IndexEntry(msgspec.Struct):
    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str


class Duration(msgspec.Struct):
    count: Whole
    ns: Whole


class Durations(msgspec.Struct):
    """A request is timed as a whole, under compute_infer."""

    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


class ModelStatistics(msgspec.Struct):
    name: str
    version: str
    inference_count: Whole
    execution_count: Whole
    inference_stats: Durations
    batch_stats: list[Fields]


class Statistics(msgspec.Struct):
    model_stats: list[ModelStatistics]


class Nothing(msgspec.Struct):
    """An empty object."""


METADATA = Operation(
    "What a model takes and gives.",
    {200: Answer(ModelMetadata, "tensors by name, datatype and shape")},
    errors=(409, 503),
)
READY = Operation(
    "Whether a model infers.",
    {200: Answer(ModelReady, "it does"), 503: Answer(ModelReady, "it does not, or not so")},
)
INFER = Operation(
    "Infer.\nOnly the version that serves does; another stored one is answered with 409.",
    {
        200: Answer(
            InferenceAnswer,
            "the outputs",
            also={BINARY: f"JSON of the length in {HEADER_LENGTH}, then the binary tensors"},
        )
    },
    body=Body(
        InferenceRequest,
        also={BINARY: f"JSON of the length in {HEADER_LENGTH}, then the binary tensors"},
    ),
    errors=(409, 503),
)
STATISTICS = Operation(
    "How often and how long a model was asked, by every route, over all workers.",
    {200: Answer(Statistics, "by version")},
)
REPOSITORY = Body(RepositoryRequest, is_optional=True)
V, MODEL = "/versions/<version>", "/v2/models/<model>"

OPERATIONS: Mapping[str, Operation] = {
    "GET /v2": Operation("The server.", {200: Answer(Server, "name, version, extensions")}),
    "GET /v2/health/live": Operation(
        "Whether the process answers.", {200: Answer(Live, "it does")}
    ),
    "GET /v2/health/ready": Operation(
        "Whether requests can be inferred.",
        {200: Answer(Live, "they can"), 503: Answer(Live, "no model serves a version")},
    ),
    f"GET {MODEL}": METADATA,
    f"GET {MODEL}{V}": METADATA,
    f"GET {MODEL}/ready": READY,
    f"GET {MODEL}{V}/ready": READY,
    f"POST {MODEL}/infer": INFER,
    f"POST {MODEL}{V}/infer": INFER,
    "GET /v2/models/stats": STATISTICS,
    f"GET {MODEL}/stats": STATISTICS,
    f"GET {MODEL}{V}/stats": STATISTICS,
    "POST /v2/repository/index": Operation(
        "Every version of every model.",
        {200: Answer(list[IndexEntry], "those that serve first")},
        body=Body(IndexRequest, is_optional=True),
        errors=(503,),
    ),
    "POST /v2/repository/models/<model>/load": Operation(
        "Return when the desired version serves.",
        {200: Answer(Nothing, "it does")},
        body=REPOSITORY,
        errors=(409, 503),
    ),
    "POST /v2/repository/models/<model>/unload": Operation(
        "Always refused: what serves is what the reload signal wants.",
        {},
        body=REPOSITORY,
        errors=(409, 503),
    ),
}
