"""What requests may hold: their JSON bodies and their query parameters, one type each.

Routes decode with these types and the OpenAPI document shows them. A route reads a body with
`web.json_body.body_as` and a query with `web.query.query_as`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from api_service.web.query import LARGEST, Limit, Page
from shared.run_log.run import RunStatus

LONGEST_WAIT_S = 60

Days = Annotated[int, Meta(ge=1, le=3660, description="train on the newest days only")]
Wait = (
    bool
    | Annotated[
        float,
        Meta(
            ge=0,
            le=LONGEST_WAIT_S,
            description="true, or for how many seconds to wait for the end",
        ),
    ]
)
ModelName = Annotated[str, Meta(description="name of a model, where more than one could be meant")]
StreamName = Annotated[str, Meta(description="of which stream of the model")]
DeviceId = Annotated[str, Meta(description="id of a device")]
Force = Annotated[bool, Meta(description="train although nothing has changed")]
TimeText = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


class Request(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A misspelt field is refused instead of ignored."""


# -- bodies ------------------------------------------------------------------------------------


class Reason(Request):
    reason: str | None = None


class TrainRequest(Request):
    """wait: true, or for how many seconds to wait for the end."""

    reason: str | None = None
    days: Days | None = None
    parameters: dict[str, Any] | None = None
    incremental: bool | None = None
    force: bool | None = None
    wait: Wait | None = None

    def options(self) -> dict[str, Any]:
        """What was asked of the run itself."""
        asked = {
            "days": self.days,
            "parameters": self.parameters,
            "incremental": self.incremental,
            "force": self.force,
        }
        return {name: value for name, value in asked.items() if value is not None}

    @property
    def wait_s(self) -> float:
        """For how long the client waits for the end of the run; 0 for not at all."""
        return float(LONGEST_WAIT_S if self.wait is True else self.wait or 0)


class Cancel(Request):
    reason: str | None = None
    run_id: Annotated[str, Meta(description="the id of a run")] | None = None


class VersionRequest(Request):
    version: Annotated[str, Meta(description="the name of a version")] | None = None
    reason: str | None = None


class IndexRequest(msgspec.Struct):
    """ready: only versions that serve."""

    repository_name: Annotated[str, Meta(description="the name of a repository")] | None = None
    ready: bool | None = None


class RepositoryParameters(Request):
    """The only one that changes nothing here: no model of ours has dependents."""

    unload_dependents: bool | None = None


class RepositoryRequest(Request):
    parameters: RepositoryParameters | None = None


class RetrainDevice(Request):
    device_id: DeviceId | None = None
    days: Days | None = None
    background: bool = True
    reason: str | None = None
    force: bool | None = None


class ReloadRequest(Request):
    """As a body or as a query."""

    model: ModelName | None = None
    version: Annotated[str, Meta(description="a stored version")] | None = None
    model_path: Annotated[str, Meta(description="a path as GET /admin/models lists it")] | None = (
        None
    )
    model_name: Annotated[str, Meta(description="a name as GET /admin/models lists it")] | None = (
        None
    )


class CancelJob(Request):
    """As a body or as a query."""

    job_id: Annotated[str, Meta(description="id of a run")] | None = None
    model: ModelName | None = None
    reason: Annotated[str, Meta(description="kept in the log")] | None = None


# -- queries -----------------------------------------------------------------------------------


class ModelQuery(Request):
    model: ModelName | None = None


class ModelPage(Page):
    model: ModelName | None = None


class RunsPage(ModelPage):
    status: Annotated[RunStatus, Meta(description="only runs that stand so")] | None = None


class RejectedPage(Page):
    stream: StreamName | None = None
    reason: Annotated[str, Meta(description="only where the reason has these words")] | None = None


class DevicePage(ModelPage):
    device_id: DeviceId | None = None
    skip: Annotated[int, Meta(ge=0, le=2**31, description="as offset")] = 0


class AlertsPage(ModelPage):
    level: (
        Annotated[Literal["critical", "warning", "degraded"], Meta(description="only this level")]
        | None
    ) = None


class EventsQuery(Request):
    model: ModelName | None = None
    limit: Limit = 50
    after: Annotated[
        int, Meta(ge=0, le=LARGEST, description="the number of the last event known")
    ] = 0


class DeviceQuery(ModelQuery):
    device_id: DeviceId | None = None


class JobQuery(ModelQuery):
    job_id: Annotated[str, Meta(description="id of a run")] | None = None


class ServerQuery(ModelQuery):
    server: Annotated[str, Meta(description="only this server")] | None = None
    band: Annotated[
        Literal[80, 90], Meta(description="percent of the values that lie between low and high")
    ] = 80


class StreamQuery(Request):
    stream: StreamName | None = None


class TrainQuery(ModelQuery):
    wait: Wait = False
    force: Force = False


class TrainDaysQuery(TrainQuery):
    days: Days | None = None


class TrainServersQuery(TrainQuery):
    incremental: Annotated[
        bool, Meta(description="continue the served version where the estimator can")
    ] = False
    epochs: Annotated[int, Meta(ge=1, description="without effect: one pass fits it")] = 1
    blocking: Annotated[bool, Meta(description="wait up to a minute for the end")] = False


class HistoryQuery(ModelQuery):
    time_range: Annotated[
        Literal["30m", "1h", "8h", "1d", "1w", "1M"], Meta(description="how far back")
    ] = "1d"
    format: Annotated[Literal["json", "csv"], Meta(description="the table in JSON, or bare")] = (
        "json"
    )


class ProductsQuery(Request):
    n: Annotated[int, Meta(ge=1, le=50, description="how many products; 5 by default")] = 5
    model: ModelName | None = None


class CustomerQuery(ProductsQuery):
    include_owned: Annotated[
        bool, Meta(description="also what the customer has bought already")
    ] = False


class ExportQuery(Request):
    """since: from when on, instead of days."""

    days: Annotated[int, Meta(ge=1, le=3650, description="how far back")] = 90
    since: TimeText | None = None
    format: Annotated[Literal["json"], Meta(description="the only one there is")] = "json"
    limit: Annotated[int, Meta(ge=1, le=10_000, description="how many at most")] = 1000


class RecordsQuery(ExportQuery):
    stream: StreamName | None = None
    after: (
        Annotated[
            str,
            Meta(
                pattern="^[0-9]{1,18}:",
                description="the place of the last record of the page before, as `next` says",
            ),
        ]
        | None
    ) = None


class AllStreamsQuery(ExportQuery):
    model: ModelName | None = None
    limit: Annotated[int, Meta(ge=1, le=10_000, description="how many of each stream")] = 5000
