"""hotfit.toml + HOTFIT_* environment -> one frozen Settings object.

Environment wins over the file: HOTFIT_API__PORT=5001 sets `[api] port`. Knows no daemon;
paths are made absolute against the working directory, and nothing is created here.
"""

from __future__ import annotations

import os
import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from shared.errors import SettingsInvalid
from shared.settings_values import LONGEST, CronExpressions, Duration, TimeZone

MODEL_NAME = re.compile(r"[a-z0-9_-]+")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ApiSettings(_Section):
    """[api]: the prediction daemon."""

    host: str = Field("127.0.0.1", description="address to listen on; any but loopback needs keys")
    port: int = Field(5000, ge=1, le=65535, description="port to listen on")
    workers: int = Field(2, ge=1, le=64, description="serving processes (always 1 on Windows)")
    default_model: str = Field("", description="model of /predict; empty: the only one there is")
    reconcile_interval_s: float = Field(
        2.0, gt=0, le=60, description="slow timer: look at the signals even when no event came"
    )
    drain_timeout_s: float = Field(
        30.0, gt=0, description="wait this long for requests on the old version"
    )
    switch_timeout_s: float = Field(
        30.0,
        gt=0,
        description="all workers switch together; one that needs this much longer than the first"
        " is replaced",
    )
    preload: int = Field(
        100,
        ge=0,
        description="with more models than this, each is opened by the first request for it",
    )
    memory_budget_mb: int = Field(
        0,
        ge=0,
        description="of one worker's open models, by the size of their files; beyond it the ones"
        " longest unused are closed; 0: half of the machine's memory, shared by the workers",
    )
    public_key: Path | None = Field(
        None, description="key that versions must be signed with; empty: <home>/keys/signing.pub"
    )
    max_request_bytes: int = Field(
        8_000_000, ge=1_000, description="larger request bodies are answered with 413"
    )
    allowed_hosts: list[str] = Field(
        default_factory=list,
        description="on loopback: further host names to answer to, such as a proxy's public name",
    )


class RetrainSettings(_Section):
    """[retrain]: the training daemon."""

    tick_interval_s: float = Field(1.0, gt=0, le=60, description="how often the loop looks around")
    nice: int = Field(5, ge=0, le=19, description="priority given away by a training process")
    max_parallel_runs: int = Field(
        1, ge=1, le=64, description="training processes at the same time, over all models"
    )


class StreamSettings(_Section):
    """[models.NAME.streams.STREAM]: where one stream of records lives in its source."""

    collection: str = Field("", description="collection or table; empty: the stream's own name")
    id_field: str = Field("id", description="sql, http_export: column or field with the unique id")
    updated_at_field: str = Field("updated_at", description="field that grows with every change")
    deleted_field: str = Field("", description="field that is true on a tombstone; empty: none")
    retention_days: int = Field(
        0, ge=0, description="forget records not changed for so many days; 0: keep everything"
    )


class SourceSettings(_Section):
    """[sources.NAME]: a database to watch."""

    kind: Literal["sql", "firestore", "mongodb", "elasticsearch", "http_export", "feed"] = Field(
        description="driver"
    )
    url: str = Field(
        "", description="address of the database (sql: SQLAlchemy URL) or of the export"
    )
    api_key_env: str = Field(
        "", description="elasticsearch, http_export: environment variable that holds the key"
    )
    api_key_header: str = Field(
        "X-API-Key",
        description="http_export: header that carries the key; Authorization: as a bearer token",
    )
    project: str = Field("", description="firestore: project id; empty: from the environment")
    database: str = Field("(default)", description="firestore: database id")
    poll_interval_s: float = Field(30.0, gt=0, description="time between two looks for new records")
    lag_s: float = Field(
        60.0, ge=0, description="leave rows younger than this for the next look (late commits)"
    )
    page_size: int = Field(500, ge=1, le=10_000, description="records a read")
    timeout_s: float = Field(30.0, gt=0, description="limit for one read")
    daily_read_budget: int = Field(
        0, ge=0, description="billed reads a UTC day before polling slows down; 0: no budget"
    )
    overlap: Duration = Field(
        timedelta(hours=2), description="how far the daily re-read goes back for late commits"
    )
    reconcile_days: int = Field(
        7, ge=0, le=3660, description="days whose counts are compared daily to find deletions"
    )

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> SourceSettings:
        examples = {
            "sql": '"sqlite:///file.db" or "postgresql+psycopg://…"',
            "mongodb": '"mongodb://host:27017/DATABASE"',
            "elasticsearch": '"https://host:9200"',
            "http_export": '"https://host/training_data/?days=90&format=json"',
        }
        if self.kind in examples and not self.url:
            raise ValueError(f'kind "{self.kind}" needs url = {examples[self.kind]}')
        return self


class FeedSettings(_Section):
    """[feed]: records that are sent to the API, for models whose source is of the kind "feed"."""

    retention_days: int = Field(
        90, ge=0, description="forget what was sent so many days ago; 0: keep everything"
    )
    max_records_per_request: int = Field(
        10_000, ge=1, description="longer lists are answered with 413"
    )
    max_records_a_minute: int = Field(
        100_000, ge=0, description="per key and model; beyond, the answer is 429; 0: no limit"
    )


class TriggerSettings(_Section):
    """[models.NAME.triggers]: when to train; any of them is enough."""

    new_records: int = Field(10, ge=0, description="train after so many new records; 0: never")
    every: Duration | None = Field(
        timedelta(hours=24),
        ge=timedelta(0),
        le=LONGEST,
        description='train when the last run is older than this; "0s": never',
    )
    cron: CronExpressions = Field(
        (), description='train at these times: "0 2 * * *", or a list of such expressions'
    )
    time_zone: TimeZone = Field(
        "UTC", description="IANA name of the clock for cron and for every, from a day upwards"
    )
    event: bool = Field(True, description='train when told "the data changed" through the API')
    debounce: Duration = Field(
        timedelta(seconds=30),
        ge=timedelta(0),
        le=LONGEST,
        description="event: wait until none has come for this long",
    )
    max_wait: Duration = Field(
        timedelta(minutes=10),
        ge=timedelta(0),
        le=LONGEST,
        description="event: but no longer than this after the first",
    )
    environment: bool = Field(
        True, description="train when Python or a library is another than the served version's"
    )
    overlap: Literal["skip", "queue", "replace"] = Field(
        "skip",
        description="due during a run: let the moment pass, run once more, or start anew",
    )
    min_interval: Duration = Field(
        timedelta(0),
        ge=timedelta(0),
        le=LONGEST,
        description="brake: at least this long between two runs",
    )
    max_runs_per_day: int = Field(
        0, ge=0, description="brake: at most so many runs in 24 hours; 0: no limit"
    )
    failure_backoff: Duration = Field(
        timedelta(minutes=1),
        ge=timedelta(0),
        le=LONGEST,
        description="brake: wait after a failure, doubled up to an hour",
    )

    @model_validator(mode="after")
    def _max_wait_is_the_longer_one(self) -> TriggerSettings:
        if self.max_wait < self.debounce:
            raise ValueError(
                "max_wait: expected at least as much as debounce"
                f" ({self.debounce.total_seconds():g} s),"
                f" found {self.max_wait.total_seconds():g} s"
            )
        return self


class GateSettings(_Section):
    """[models.NAME.gate]: what a candidate must show before it is promoted."""

    mode: Literal["point", "non_inferior", "superior"] = Field(
        "non_inferior",
        description="how errors are compared: plain means, surely not worse, or surely better",
    )
    max_regression: float = Field(
        0.10, ge=0, le=10, description="error may be this much above the champion's (0.10 = 10 %)"
    )
    max_total_regression: float = Field(
        0.20, ge=0, le=10, description="error may be this much above the best past version's"
    )
    slice_tolerance: float = Field(
        0.50,
        ge=0,
        le=10,
        description="no part, device or class may get surely worse by more; 0: off",
    )
    confidence: float = Field(
        0.95, ge=0.5, lt=1, description="how sure the comparisons must be (0.95 = 95 %)"
    )
    min_holdout_rows: int = Field(
        10, ge=1, description="rows that no model was fitted on, needed to compare two versions"
    )
    min_holdout_days: int = Field(7, ge=1, description="days of such rows needed")
    block_days: int = Field(
        1, ge=1, le=31, description="neighbouring days that are resampled together"
    )
    min_slice_rows: int = Field(20, ge=1, description="slices with fewer held-out rows are ignored")
    patience_days: int = Field(
        30, ge=0, description="while unsure, keep the champion this long, then go by plain means"
    )
    min_rows: int = Field(50, ge=1, description="rows needed to train at all")
    min_days: int = Field(14, ge=1, description="days needed to train at all")
    max_bad_rows: float = Field(
        0.10, ge=0, le=1, description="share of rows without a label or with an impossible value"
    )
    max_duplicates: float = Field(
        0.10, ge=0, le=1, description="share of rows that came a second time"
    )
    max_rejected: float = Field(
        0.95, ge=0, le=1, description="share of records that could not be used"
    )
    max_data_age_days: int = Field(
        0, ge=0, description="the newest row may be this old; 0: no limit"
    )
    allow_contract_change: bool = Field(
        False, description="promote although columns, workload or library generation differ"
    )
    max_load_s: float = Field(60.0, gt=0, description="a version must open and warm up within this")
    max_memory_mb: int = Field(
        2000, ge=1, description="memory of a process that has opened nothing but this version"
    )
    max_size_mb: int = Field(1000, ge=1, description="size of all files of a version")
    max_latency_ms: float = Field(
        1000.0, gt=0, description="time to answer the slowest golden request"
    )


class TrainingSettings(_Section):
    """[models.NAME.training]: limits of the training process."""

    max_run_time_s: float = Field(3600.0, gt=0, description="a run is stopped after this")
    memory_limit_mb: int = Field(
        0, ge=0, description="a run that uses more memory than this is stopped; 0: no limit"
    )
    heartbeat_timeout_s: float = Field(
        300.0, gt=0, description="a run whose process shows no sign of life for this is stopped"
    )
    threads: int = Field(
        0, ge=0, description="threads of a run; 0: the machine's, shared among parallel runs"
    )
    incremental: bool = Field(
        False, description="continue the champion on new rows where the estimator can"
    )
    full_every: int = Field(
        10, ge=1, description="with incremental: train from scratch at least every so many runs"
    )
    seed: int = Field(20_251_126, ge=0, description="random seed; same data and seed, same model")


class RetentionSettings(_Section):
    """[retention]: what is forgotten once a day, and by `prune`. Records: see StreamSettings."""

    versions: int = Field(10, ge=1, description="newest versions of each model that are kept")
    version_days: int = Field(
        30, ge=0, description="versions younger than this are kept as well, however many"
    )
    log_days: int = Field(
        60, ge=0, description="ended runs, events and files set aside go after this; 0: never"
    )


NoticeKind = Literal[
    "failure", "rejection", "rollback", "quarantine", "outage", "budget", "promotion"
]


class NotifySettings(_Section):
    """[notify]: who is told when something happens. Needs the extra "notify"."""

    urls: list[str] = Field(
        default_factory=list, description="where to, as apprise writes it; empty: nowhere"
    )
    kinds: tuple[NoticeKind, ...] = Field(
        ("failure", "rejection", "rollback", "quarantine", "outage", "budget"),
        description='what is told of; "promotion" can be added',
    )
    repeat_after: Duration = Field(
        timedelta(hours=1),
        ge=timedelta(0),
        le=LONGEST,
        description="the same of the same model is not told again before this",
    )


class MirrorSettings(_Section):
    """[mirror]: ended runs as documents in a MongoDB collection. Needs the extra "mongodb"."""

    url: str = Field(
        "", description="where to: mongodb://user:password@host:27017/DATABASE; empty: nowhere"
    )
    collection: str = Field(
        "model_runs", min_length=1, description="collection, one document a run"
    )
    models: list[str] = Field(
        default_factory=list, description="models whose runs are mirrored; empty: all"
    )


class ModelSettings(_Section):
    """[models.NAME]: one model."""

    workload: str = Field(description="what kind of model")
    source: str = Field(description="name of the [sources.…] section it learns from")
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="parameters of the workload"
    )
    streams: dict[str, StreamSettings] = Field(
        default_factory=dict, description="where each stream of the workload lives"
    )
    triggers: TriggerSettings = Field(default_factory=TriggerSettings)
    gate: GateSettings = Field(default_factory=GateSettings)
    training: TrainingSettings = Field(default_factory=TrainingSettings)

    def stream(self, name: str) -> StreamSettings:
        """Settings of one stream, its collection filled in."""
        found = self.streams.get(name, StreamSettings())
        return found if found.collection else found.model_copy(update={"collection": name})


class Settings(BaseSettings):
    """Everything that can be set. Frozen; both daemons read the same file."""

    model_config = SettingsConfigDict(
        env_prefix="HOTFIT_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    home: Path = Field(Path("var"), description="where models, logs, keys and buffers live")
    log_format: Literal["auto", "text", "json"] = Field(
        "auto", description="log lines: text on a terminal, JSON elsewhere, or always one of them"
    )
    api: ApiSettings = Field(default_factory=ApiSettings)
    retrain: RetrainSettings = Field(default_factory=RetrainSettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
    notify: NotifySettings = Field(default_factory=NotifySettings)
    feed: FeedSettings = Field(default_factory=FeedSettings)
    mirror: MirrorSettings = Field(default_factory=MirrorSettings)
    sources: dict[str, SourceSettings] = Field(default_factory=dict)
    models: dict[str, ModelSettings] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_hold_together(self) -> Settings:
        for name, model in self.models.items():
            if not MODEL_NAME.fullmatch(name):
                raise ValueError(f"models: a name is made of a-z, 0-9, _ and -, found {name!r}")
            if model.source not in self.sources:
                known = ", ".join(sorted(self.sources)) or "none"
                raise ValueError(
                    f"models.{name}.source: expected one of the [sources.…] sections ({known}),"
                    f" found {model.source!r}"
                )
        for name, source in self.sources.items():
            # The daily comparison would take forgotten records for deleted ones.
            if source.kind == "feed" and 0 < self.feed.retention_days <= source.reconcile_days:
                raise ValueError(
                    f"feed.retention_days: expected 0 or more than sources.{name}.reconcile_days"
                    f" ({source.reconcile_days}), found {self.feed.retention_days}"
                )
        for name in self.mirror.models:
            if name not in self.models:
                raise ValueError(
                    f"mirror.models: expected some of {sorted(self.models)}, found {name!r}"
                )
        if self.api.default_model and self.api.default_model not in self.models:
            raise ValueError(
                f"api.default_model: expected one of {sorted(self.models)},"
                f" found {self.api.default_model!r}"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # The file arrives as init arguments; the environment must win over it.
        return env_settings, init_settings

    # Paths that both daemons must agree on, in one place.

    @property
    def models_dir(self) -> Path:
        return self.home / "models"

    @property
    def reports_dir(self) -> Path:
        return self.home / "reports"

    @property
    def requests_dir(self) -> Path:
        return self.home / "requests"

    @property
    def keys_dir(self) -> Path:
        return self.home / "keys"

    @property
    def pids_dir(self) -> Path:
        return self.home / "pids"

    @property
    def logs_dir(self) -> Path:
        return self.home / "logs"

    @property
    def buffer_dir(self) -> Path:
        return self.home / "buffer"

    @property
    def work_dir(self) -> Path:
        return self.home / "work"

    @property
    def run_log_path(self) -> Path:
        return self.home / "run_log.sqlite"

    @property
    def feed_path(self) -> Path:
        return self.home / "feed.sqlite"

    @property
    def public_key_path(self) -> Path:
        return self.api.public_key or self.keys_dir / "signing.pub"


def config_path() -> Path | None:
    """The file that will be read: HOTFIT_CONFIG, else ./hotfit.toml, else none."""
    named = os.environ.get("HOTFIT_CONFIG")
    if named:
        return Path(named).absolute()
    default = Path("hotfit.toml").absolute()
    return default if default.is_file() else None


def load_settings(path: Path | None = None) -> Settings:
    """Read the configuration.

    Args:
        path: the TOML file; None means as `config_path()` says.

    Raises:
        SettingsInvalid: unreadable, not TOML, or a setting is unknown or out of range;
            one line per fault, each with the setting's path.
    """
    path = path or config_path()
    content: dict[str, Any] = {}
    if path is not None:
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SettingsInvalid(f"{path}: cannot be read: {error.strerror}.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsInvalid(f"{path}: not valid TOML: {error}.") from None
    # HOTFIT_CONFIG names the file; it is not a setting in it.
    where = path.name if path is not None else "environment"
    try:
        settings = Settings(**content)
    except ValidationError as error:
        lines = []
        for fault in error.errors():
            at = ".".join(str(part) for part in fault["loc"]) or "settings"
            message = fault["msg"].removeprefix("Value error, ")
            found = (
                "" if fault["type"] in ("missing", "value_error") else f", found {fault['input']!r}"
            )
            lines.append(f"{where}: {at}: {message}{found}")
        raise SettingsInvalid("\n".join(lines)) from None
    return _with_places(settings)


def _with_places(settings: Settings) -> Settings:
    """An absolute home, and the feed's file where a source of that kind names none."""
    settings = settings.model_copy(update={"home": settings.home.absolute()})
    sources = {
        name: source.model_copy(update={"url": str(settings.feed_path)})
        if source.kind == "feed" and not source.url
        else source
        for name, source in settings.sources.items()
    }
    return settings.model_copy(update={"sources": sources})
