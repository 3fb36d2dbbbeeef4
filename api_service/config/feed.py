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


@dataclass(frozen=True, slots=True)
class FedStream:
    """Where one stream of a model is kept, and what its records say of themselves."""

    collection: str
    id_fields: tuple[str, ...] = ("id",)
    deleted_field: str = ""


@dataclass(frozen=True, slots=True)
class FedModel:
    """One configured model. `streams`: those that the configuration says something of.

    source : name of its source; source_kind : "feed" when records may be sent for it.
    """

    workload: str
    parameters: Mapping[str, Any]
    source: str
    source_kind: str
    streams: Mapping[str, FedStream]

    def stream(self, name: str) -> FedStream:
        return self.streams.get(name) or FedStream(name)


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
                    streams={
                        stream: FedStream(
                            model.stream(stream).collection,
                            model.stream(stream).id_fields,
                            model.stream(stream).deleted_field,
                        )
                        for stream in model.streams
                    },
                )
                for name, model in settings.models.items()
            },
        )
