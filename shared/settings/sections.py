"""The settings of hotfit.toml that are not of one model: daemons, sources, retention and others.

What each setting is, takes and means; the tables of docs/settings.md are made from it. Reads no
file and no environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.settings.renamed import with_new_names
from shared.settings.values import (
    LARGEST_MB,
    LARGEST_NUMBER,
    LONGEST,
    LONGEST_DAYS,
    MONTH_S,
    Duration,
    Encoding,
    Network,
    TimeZone,
)


class Section(BaseModel):
    """A table of the file: nothing unknown in it, no infinite number, and nothing changes it."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    new_names: ClassVar[Mapping[str, str]] = {}
    """Former name of a setting -> its name now; the former is read for one release."""

    @model_validator(mode="before")
    @classmethod
    def _read_former_names(cls, values: Any) -> Any:
        return with_new_names(values, cls.new_names)


class ApiSettings(Section):
    """[api]: the prediction daemon."""

    new_names: ClassVar[Mapping[str, str]] = {"take_turns": "batch_scheduling"}

    host: str = Field("127.0.0.1", description="address to listen on; any but loopback needs keys")
    port: int = Field(5000, ge=1, le=65535, description="port to listen on")
    workers: int = Field(2, ge=1, le=64, description="serving processes (always 1 on Windows)")
    default_model: str = Field("", description="model of /predict; empty: the only one there is")
    reconcile_interval_s: float = Field(
        2.0, gt=0, le=60, description="slow timer: look at the signals even when no event came"
    )
    drain_timeout_s: float = Field(
        30.0, gt=0, le=MONTH_S, description="wait this long for requests on the old version"
    )
    batch_scheduling: bool = Field(
        True,
        description="Linux: the threads of a worker do not interrupt each other, so a request costs"
        " less; false where other programs keep the processors busy and the slowest answers matter",
    )
    switch_timeout_s: float = Field(
        30.0,
        gt=0,
        le=MONTH_S,
        description="all workers switch together; one that needs this much longer than the first"
        " is replaced",
    )
    worker_timeout_s: float = Field(
        90.0,
        ge=2,
        le=MONTH_S,
        description="a worker that has answered nothing for so long, also no small request that it"
        " asks itself, is replaced; longer than the slowest prediction",
    )
    preload: int = Field(
        100,
        ge=0,
        le=1_000_000,
        description="with more models than this, each is opened by the first request for it",
    )
    memory_budget_mb: int = Field(
        0,
        ge=0,
        le=LARGEST_MB,
        description="of one worker's open models, by the size of their files; beyond it the ones"
        " longest unused are closed; 0: half of the machine's memory, shared by the workers",
    )
    public_key: Path | None = Field(
        None, description="key that versions must be signed with; empty: <home>/keys/signing.pub"
    )
    max_request_bytes: int = Field(
        8_000_000,
        ge=1_000,
        le=4_000_000_000,
        description="larger request bodies are answered with 413",
    )
    body_timeout_s: float = Field(
        10.0,
        ge=0.1,
        le=3600,
        description="a request whose body has not come whole by then is answered with 408",
    )
    idle_timeout_s: float = Field(
        20.0,
        ge=0.1,
        le=3600,
        description="a connection is closed on which no request, with its whole header, has come"
        " for so long",
    )
    max_wait_s: float = Field(
        2.0,
        gt=0,
        le=3600,
        description="while a request has waited longer than this for its turn in a worker, further"
        " ones are answered with 503",
    )
    allowed_hosts: list[str] = Field(
        default_factory=list,
        description="on loopback: further host names to answer to, such as a proxy's public name;"
        " such requests need a key",
    )
    require_keys: Literal["auto", "always"] = Field(
        "auto",
        description='who needs a key to read and predict: "auto": all but requests that come'
        ' straight from this machine; "always": those as well',
    )
    train_without_key: bool = Field(
        True,
        description="POST /train of programs on this machine needs no key; never from elsewhere,"
        " through a proxy or from a web page",
    )
    trusted_proxies: list[Network] = Field(
        default_factory=list,
        description="addresses and networks of proxies whose X-Forwarded-For, -Proto, -Host and"
        " -Prefix are believed",
    )


class RetrainSettings(Section):
    """[retrain]: the training daemon."""

    tick_interval_s: float = Field(1.0, gt=0, le=60, description="how often the loop looks around")
    nice: int = Field(5, ge=0, le=19, description="priority given away by a training process")
    max_parallel_runs: int = Field(
        1, ge=1, le=64, description="training processes at the same time, over all models"
    )


class SourceSettings(Section):
    """[sources.NAME]: a database to watch."""

    kind: Literal[
        "sql", "firestore", "mongodb", "elasticsearch", "http_export", "files", "prometheus", "feed"
    ] = Field(description="driver")
    url: str = Field(
        "",
        description="address of the database (sql: SQLAlchemy URL) or of the export; files: path"
        " of a file or folder",
    )
    encoding: Encoding = Field(
        "", description="files: of CSV and JSON lines, such as cp1252; empty: UTF-8, or by its mark"
    )
    delimiter: str = Field(
        "", max_length=1, description="files: of CSV; empty: as the header of each file shows"
    )
    api_key_env: str = Field(
        "",
        description="elasticsearch, http_export, prometheus: environment variable that holds the"
        " key",
    )
    api_key_header: str = Field(
        "X-API-Key",
        description="http_export: header that carries the key; Authorization: as a bearer token",
    )
    project: str = Field("", description="firestore: project id; empty: from the environment")
    database: str = Field("(default)", description="firestore: database id")
    time_zone: TimeZone | None = Field(
        None, description="IANA name, for times without a zone in its streams; empty: UTC"
    )
    step: Duration = Field(
        timedelta(minutes=1),
        ge=timedelta(seconds=1),
        le=timedelta(days=1),
        description="prometheus: time between two records of a server",
    )
    history_days: int = Field(
        30, ge=1, le=LONGEST_DAYS, description="prometheus: how far back the first read goes"
    )
    server_label: str = Field(
        "instance",
        min_length=1,
        description="prometheus: label of the series that names the server",
    )
    poll_interval_s: float = Field(
        30.0, gt=0, le=MONTH_S, description="time between two looks for new records"
    )
    lag_s: float = Field(
        60.0,
        ge=0,
        le=MONTH_S,
        description="leave rows younger than this for the next look (late commits)",
    )
    page_size: int = Field(500, ge=1, le=10_000, description="records a read")
    timeout_s: float = Field(20.0, gt=0, le=MONTH_S, description="limit for one read")
    daily_read_budget: int = Field(
        0,
        ge=0,
        le=LARGEST_NUMBER,
        description="billed reads a UTC day before polling slows down; 0: no budget",
    )
    overlap: Duration = Field(
        timedelta(hours=2),
        ge=timedelta(0),
        le=LONGEST,
        description="how far the daily re-read goes back for late commits",
    )
    reconcile_days: int = Field(
        7, ge=0, le=3660, description="days whose counts are compared daily to find deletions"
    )
    max_deleted_share: float = Field(
        0.25,
        ge=0,
        le=1,
        description="deletions of a larger share of a stream in one look are held back; 1: none",
    )
    deletions_wait: Duration = Field(
        timedelta(hours=1),
        ge=timedelta(0),
        le=LONGEST,
        description="after which deletions that were held back are taken, if a look shows them"
        " still",
    )

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> SourceSettings:
        examples = {
            "sql": '"sqlite:///file.db" or "postgresql+psycopg://…"',
            "mongodb": '"mongodb://host:27017/DATABASE"',
            "elasticsearch": '"https://host:9200"',
            "files": '"/path/to/folder"',
            "prometheus": '"http://host:9090"',
            "http_export": '"https://host/training_data/?days=90&format=json"',
        }
        if self.kind in examples and not self.url:
            raise ValueError(f'kind "{self.kind}" needs url = {examples[self.kind]}')
        return self


class FeedSettings(Section):
    """[feed]: records that are sent to the API, for models whose source is of the kind "feed"."""

    retention_days: int = Field(
        90,
        ge=0,
        le=LONGEST_DAYS,
        description="forget what was sent so many days ago; 0: keep everything",
    )
    max_records_per_request: int = Field(
        10_000, ge=1, le=10_000_000, description="longer lists are answered with 413"
    )
    max_records_a_minute: int = Field(
        100_000,
        ge=0,
        le=1_000_000_000,
        description="per key and model; beyond, the answer is 429; 0: no limit",
    )


class PredictionLogSettings(Section):
    """[prediction_log]: a sample of what was asked and answered, to be compared with the truth."""

    max_per_second: float = Field(
        50.0,
        ge=0,
        le=100_000,
        description="answers of a model that are logged each second at most, all workers together;"
        " one above 4 kB counts as several; 0: none",
    )
    keep_days: int = Field(
        30, ge=1, le=LONGEST_DAYS, description="what was logged so many days ago is removed"
    )
    max_mb: int = Field(
        500, ge=1, le=LARGEST_MB, description="of the whole log; the oldest answers go"
    )
    left_out: list[str] = Field(
        default_factory=list,
        description="names of columns that are not logged, wherever they stand in a request or an"
        " answer",
    )
    hashed: list[str] = Field(
        default_factory=list,
        description="names of columns of which only a hash is logged, such as ids of persons",
    )


class RetentionSettings(Section):
    """[retention]: what is forgotten each hour, and by `prune`. Records: see StreamSettings."""

    versions: int = Field(
        10, ge=1, le=1_000_000, description="newest versions of each model that are kept"
    )
    version_days: int = Field(
        30,
        ge=0,
        le=LONGEST_DAYS,
        description="versions younger than this are kept as well, up to max_versions",
    )
    max_versions: int = Field(
        100, ge=1, le=1_000_000, description="of one model, however young they are"
    )
    max_model_mb: int = Field(
        5_000,
        ge=0,
        le=LARGEST_NUMBER,
        description="of all versions of one model; the oldest go; 0: no limit",
    )
    max_disk_share: float = Field(
        0.25,
        gt=0,
        le=1,
        description="share of the disk for the versions of all models; the oldest go",
    )
    log_days: int = Field(
        60,
        ge=0,
        le=LONGEST_DAYS,
        description="ended runs, events and files set aside go after this; 0: never",
    )


NoticeKind = Literal[
    "failure",
    "rejection",
    "rollback",
    "quarantine",
    "outage",
    "budget",
    "data",
    "baseline",
    "promotion",
]


class NotifySettings(Section):
    """[notify]: who is told when something happens. Needs the extra "notify"."""

    urls: list[str] = Field(
        default_factory=list, description="where to, as apprise writes it; empty: nowhere"
    )
    kinds: tuple[NoticeKind, ...] = Field(
        ("failure", "rejection", "rollback", "quarantine", "outage", "budget", "data", "baseline"),
        description='what is told of; "promotion" can be added',
    )
    repeat_after: Duration = Field(
        timedelta(hours=1),
        ge=timedelta(0),
        le=LONGEST,
        description="the same of the same model is not told again before this",
    )
