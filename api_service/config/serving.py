"""Configuration of a serving process, cut out of the settings as one small picklable value.

Workers get this value from the main process. So they agree with it by construction, read no
configuration file and do not import the settings library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from api_service.config.feed import FeedConfig
from api_service.config.listen_address import Address
from api_service.config.prediction_log import PredictionLogConfig

if TYPE_CHECKING:
    from shared.settings.root import Settings


@dataclass(frozen=True, slots=True)
class ServingConfig:
    """Paths are absolute. `workloads`: configured model -> name of its workload."""

    models_dir: Path
    reports_dir: Path
    requests_dir: Path
    keys_dir: Path
    run_log_path: Path
    public_key_path: Path
    address: Address
    workers: int
    default_model: str
    workloads: Mapping[str, str]
    allowed_hosts: tuple[str, ...]
    reconcile_interval_s: float
    drain_timeout_s: float
    max_request_bytes: int
    log_format: Literal["auto", "text", "json"]
    switch_timeout_s: float = 30.0
    worker_timeout_s: float = 90.0
    batch_scheduling: bool = True
    body_timeout_s: float = 10.0
    idle_timeout_s: float = 20.0
    max_wait_s: float = 2.0
    preload: int = 100
    memory_budget_mb: int = 0
    require_keys: Literal["auto", "always"] = "auto"
    train_without_key: bool = True
    trusted_proxies: tuple[str, ...] = ()
    feed: FeedConfig = field(default_factory=FeedConfig)
    prediction_log: PredictionLogConfig = field(default_factory=PredictionLogConfig)

    @classmethod
    def of(cls, settings: Settings, address: Address, workers: int) -> ServingConfig:
        """The serving half of the settings."""
        return cls(
            models_dir=settings.models_dir,
            reports_dir=settings.reports_dir,
            requests_dir=settings.requests_dir,
            keys_dir=settings.keys_dir,
            run_log_path=settings.run_log_path,
            public_key_path=settings.public_key_path.absolute(),
            address=address,
            workers=workers,
            default_model=settings.api.default_model,
            workloads={name: model.workload for name, model in settings.models.items()},
            allowed_hosts=tuple(settings.api.allowed_hosts),
            reconcile_interval_s=settings.api.reconcile_interval_s,
            drain_timeout_s=settings.api.drain_timeout_s,
            switch_timeout_s=settings.api.switch_timeout_s,
            worker_timeout_s=settings.api.worker_timeout_s,
            batch_scheduling=settings.api.batch_scheduling,
            body_timeout_s=settings.api.body_timeout_s,
            idle_timeout_s=settings.api.idle_timeout_s,
            max_wait_s=settings.api.max_wait_s,
            preload=settings.api.preload,
            memory_budget_mb=settings.api.memory_budget_mb,
            max_request_bytes=settings.api.max_request_bytes,
            log_format=settings.log_format,
            require_keys=settings.api.require_keys,
            train_without_key=settings.api.train_without_key,
            trusted_proxies=tuple(settings.api.trusted_proxies),
            feed=FeedConfig.of(settings),
            prediction_log=PredictionLogConfig.of(settings, workers),
        )

    @property
    def needs_keys(self) -> bool:
        """Whether every request needs a key, wherever it comes from."""
        return self.require_keys == "always" or not self.address.is_loopback
