"""Configuration of the feed: which models take records through the API, and how.

A small picklable value, because each worker gets a copy. Imports no workload: the main process
makes this value and serves nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.settings.root import Settings
    from shared.settings.streams import StreamSettings


@dataclass(frozen=True, slots=True)
class FedModel:
    """One configured model. `streams`: those that the configuration says something of.

    time_zone : the source's, for times without a zone.
    source : name of its source; source_kind : "feed" when records may be sent for it.
    """

    workload: str
    parameters: Mapping[str, Any]
    source: str
    source_kind: str
    streams: Mapping[str, StreamSettings]
    time_zone: str | None = None

    def stream(self, name: str) -> StreamSettings:
        """The settings of a stream, its collection filled in."""
        from shared.settings.streams import named_stream  # pydantic: only who is fed pays for it

        return named_stream(self.streams, name)


@dataclass(frozen=True, slots=True)
class FeedConfig:
    """`path` None: nothing can be fed. 0 means no limit."""

    path: Path | None = None
    retention_days: int = 0
    max_records_per_request: int = 10_000
    max_records_a_minute: int = 0
    models: Mapping[str, FedModel] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings) -> FeedConfig:
        """The part of the settings that feeding needs."""
        return cls(
            path=settings.feed_path,
            retention_days=settings.feed.retention_days,
            max_records_per_request=settings.feed.max_records_per_request,
            max_records_a_minute=settings.feed.max_records_a_minute,
            models={
                name: FedModel(
                    workload=model.workload,
                    parameters=model.parameters,
                    source=model.source,
                    source_kind=settings.sources[model.source].kind,
                    streams=model.streams,
                    time_zone=settings.sources[model.source].time_zone,
                )
                for name, model in settings.models.items()
            },
        )
