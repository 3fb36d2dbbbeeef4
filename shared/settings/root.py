"""hotfit.toml + HOTFIT_* environment -> one frozen Settings object.

Environment wins over the file: HOTFIT_API__PORT=5001 sets `[api] port`. Knows no daemon;
paths are made absolute against the working directory, and nothing is created here.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from shared.errors import SettingsInvalid
from shared.settings.per_model import ModelSettings
from shared.settings.renamed import with_new_names, with_new_variables
from shared.settings.run_export import RunExportSettings
from shared.settings.sections import (
    ApiSettings,
    FeedSettings,
    NotifySettings,
    PredictionLogSettings,
    RetentionSettings,
    RetrainSettings,
    SourceSettings,
)

MODEL_NAME = re.compile(r"[a-z0-9_-]+")


class Settings(BaseSettings):
    """Everything that can be set. Frozen; both daemons read the same file."""

    model_config = SettingsConfigDict(
        env_prefix="HOTFIT_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    new_names: ClassVar[Mapping[str, str]] = {"mirror": "run_export.mongodb"}
    """Former section -> its path now; the former is read for one release."""

    home: Path = Field(Path("var"), description="where models, logs, keys and buffers live")
    log_format: Literal["auto", "text", "json"] = Field(
        "auto", description="log lines: text on a terminal, JSON elsewhere, or always one of them"
    )
    api: ApiSettings = Field(default_factory=ApiSettings)
    retrain: RetrainSettings = Field(default_factory=RetrainSettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
    notify: NotifySettings = Field(default_factory=NotifySettings)
    feed: FeedSettings = Field(default_factory=FeedSettings)
    run_export: RunExportSettings = Field(default_factory=RunExportSettings)
    prediction_log: PredictionLogSettings = Field(default_factory=PredictionLogSettings)
    sources: dict[str, SourceSettings] = Field(default_factory=dict)
    models: dict[str, ModelSettings] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _read_former_names(cls, values: Any) -> Any:
        return with_new_names(values, cls.new_names)

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
        for name in self.run_export.mongodb.models:
            if name not in self.models:
                raise ValueError(
                    f"run_export.mongodb.models: expected some of {sorted(self.models)},"
                    f" found {name!r}"
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
        assert isinstance(env_settings, EnvSettingsSource)
        env_settings.env_vars = with_new_variables(
            env_settings.env_vars, env_settings.env_prefix.lower(), cls.new_names
        )
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
    def prediction_log_dir(self) -> Path:
        return self.home / "prediction_log"

    @property
    def live_dir(self) -> Path:
        return self.home / "live"

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
