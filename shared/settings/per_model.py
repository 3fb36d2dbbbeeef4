"""The settings of one model, [models.NAME]: streams, triggers, gate, training.

What each setting is, takes and means; the tables of docs/settings.md are made from it. Reads no
file and no environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from shared.settings.sections import Section
from shared.settings.streams import StreamSettings as StreamSettings
from shared.settings.streams import named_stream
from shared.settings.values import (
    LARGEST_MB,
    LARGEST_NUMBER,
    LONGEST,
    LONGEST_DAYS,
    MONTH_S,
    CronExpressions,
    Duration,
    HoursOfDay,
    TimeZone,
)


class TriggerSettings(Section):
    """[models.NAME.triggers]: when to train; any of them is enough."""

    new_records: int = Field(
        10, ge=0, le=LARGEST_NUMBER, description="train after so many new records; 0: never"
    )
    new_records_share: float = Field(
        0.01,
        ge=0,
        le=1,
        description="and after no less than this share of the records that there are (0.01 = 1 %)",
    )
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
    min_interval: Duration | None = Field(
        None,
        ge=timedelta(0),
        le=LONGEST,
        description="brake: at least this long between two runs; empty: nine times as long as the"
        " last run took, from five minutes to a day",
    )
    quiet_hours: HoursOfDay = Field(
        (),
        description='brake: train only in these hours of the clock of time_zone, "22:00-06:00" or'
        " a list of such; empty: at any hour",
    )
    max_runs_per_day: int = Field(
        0, ge=0, le=100_000, description="brake: at most so many runs in 24 hours; 0: no limit"
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


class GateSettings(Section):
    """[models.NAME.gate]: what a candidate must show before it is promoted."""

    new_names: ClassVar[Mapping[str, str]] = {"patience_days": "max_undecided_days"}

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
        10,
        ge=1,
        le=LARGEST_NUMBER,
        description="rows that no model was fitted on, needed to compare two versions",
    )
    min_holdout_days: int = Field(7, ge=1, le=LONGEST_DAYS, description="days of such rows needed")
    block_days: int = Field(
        0,
        ge=0,
        le=31,
        description="days of the calendar that are resampled together; 0: learnt from the losses",
    )
    min_slice_rows: int = Field(
        20, ge=1, le=LARGEST_NUMBER, description="slices with fewer held-out rows are ignored"
    )
    max_undecided_days: int = Field(
        30,
        ge=0,
        le=LONGEST_DAYS,
        description="with a champion older than this, less certainty is enough; 0: never",
    )
    min_rows: int = Field(50, ge=1, le=LARGEST_NUMBER, description="rows needed to train at all")
    min_days: int = Field(14, ge=1, le=LONGEST_DAYS, description="days needed to train at all")
    max_bad_rows: float = Field(
        0.10, ge=0, le=1, description="share of rows without a label or with an impossible value"
    )
    max_duplicates: float = Field(
        0.10, ge=0, le=1, description="share of rows that came a second time"
    )
    max_rejected: float = Field(
        0.95, ge=0, le=1, description="share of records that could not be used"
    )
    max_unreadable: float = Field(
        0.30,
        ge=0,
        le=1,
        description="share of a stream's records that cannot be read; those that are left out on"
        " purpose do not count",
    )
    max_newest_change: float = Field(
        2.5,
        ge=0,
        le=1000,
        description="the newest week may be this many times above or below all weeks before;"
        " 0: not looked at",
    )
    max_refit_change: float = Field(
        0.5,
        ge=0,
        le=1000,
        description="what is fitted on all rows may differ from its judged twin by this share of"
        " the usual answer; 0: not compared",
    )
    max_data_age_days: int = Field(
        0, ge=0, le=LONGEST_DAYS, description="the newest row may be this old; 0: no limit"
    )
    allow_contract_change: bool = Field(
        False,
        description="promote although target, columns, workload or library generation differ",
    )
    allow_unscored_champion: bool = Field(
        False,
        description="promote although the served version can no longer be compared with",
    )
    max_load_s: float = Field(
        60.0, gt=0, le=MONTH_S, description="a version must open and warm up within this"
    )
    max_memory_mb: int = Field(
        2000,
        ge=1,
        le=LARGEST_MB,
        description="memory of a process that has opened nothing but this version",
    )
    max_size_mb: int = Field(
        1000, ge=1, le=LARGEST_MB, description="size of all files of a version"
    )
    max_latency_ms: float = Field(
        1000.0, gt=0, le=MONTH_S * 1000, description="time to answer the slowest golden request"
    )


class TuneSettings(Section):
    """[models.NAME.training.tune]: a search for better options of the estimator."""

    trials: int = Field(0, ge=0, le=10_000, description="at most in a run; 0: none (extra tune)")
    budget_s: float = Field(
        600.0,
        gt=0,
        le=MONTH_S,
        description="no trial is begun after this; never more than two fifths of max_run_time_s",
    )


class TrainingSettings(Section):
    """[models.NAME.training]: limits of the training process."""

    max_run_time_s: float = Field(
        3600.0, gt=0, le=MONTH_S, description="a run is stopped after this"
    )
    memory_limit_mb: int = Field(
        0,
        ge=0,
        le=LARGEST_MB,
        description="a run that uses more memory than this is stopped; 0: no limit",
    )
    heartbeat_timeout_s: float = Field(
        300.0,
        gt=0,
        le=MONTH_S,
        description="a run whose process shows no sign of life for this is stopped",
    )
    threads: int = Field(
        0,
        ge=0,
        le=4096,
        description="threads of a run; 0: the machine's, shared among parallel runs",
    )
    candidates: tuple[str, ...] = Field(
        (),
        description="which of the workload's candidates are compared; empty: all that fit the data",
    )
    windows_days: tuple[Annotated[int, Field(ge=1, le=LONGEST_DAYS)], ...] = Field(
        (14, 30, 90, 365),
        description="lengths of the newest history that a run tries to fit on, beside all of it;"
        " empty: none",
    )
    tune: TuneSettings = Field(default_factory=TuneSettings)
    refit: bool = Field(
        True,
        description="publish what passed the gates fitted again on all rows, the newest included;"
        " false: publish the judged estimator itself",
    )
    incremental: bool = Field(
        False, description="continue the champion on new rows where the estimator can"
    )
    full_every: int = Field(
        10,
        ge=1,
        le=1_000_000,
        description="with incremental: train from scratch at least every so many runs",
    )
    seed: int = Field(
        20_251_126, ge=0, le=2**32 - 1, description="random seed; same data and seed, same model"
    )


class ModelSettings(Section):
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
        return named_stream(self.streams, name)
