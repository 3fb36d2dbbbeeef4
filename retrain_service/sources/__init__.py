"""Which kinds of source there are. Each is imported only when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module

from retrain_service.sources.base import Source, how_to_install
from shared.errors import SourceMisconfigured
from shared.settings.per_model import StreamSettings
from shared.settings.sections import SourceSettings

Clock = Callable[[], datetime]

REGISTRY: dict[str, str] = {
    "elasticsearch": "retrain_service.sources.elasticsearch.source:ElasticsearchSource",
    "feed": "retrain_service.sources.feed:FeedSource",
    "files": "retrain_service.sources.files.source:FilesSource",
    "firestore": "retrain_service.sources.firestore.source:FirestoreSource",
    "http_export": "retrain_service.sources.http_export.source:HttpExportSource",
    "mongodb": "retrain_service.sources.mongodb.source:MongodbSource",
    "prometheus": "retrain_service.sources.prometheus.source:PrometheusSource",
    "sql": "retrain_service.sources.sql.log_source:open_sql_source",
}

EXTRAS: dict[str, str] = {
    "elasticsearch": "elasticsearch",
    "http_export": "http",
    "mongodb": "mongodb",
    "prometheus": "http",
}
"""Kinds whose driver does not come with Hotfit -> the extra that brings it."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def open_source(
    settings: SourceSettings, stream: StreamSettings, *, clock: Clock = utc_now
) -> Source:
    """Open one stream of a source; it connects at the first read, not here.

    Args:
        stream: its `collection` filled in, as `ModelSettings.stream()` gives it.
        clock: this machine's UTC time; what a source does with it is in its docstring.

    Raises:
        SourceMisconfigured: unknown kind, missing driver or credentials, unusable address.
    """
    if settings.kind not in REGISTRY:
        known = ", ".join(sorted(REGISTRY))
        raise SourceMisconfigured(f"kind: expected one of {known}, found {settings.kind!r}.")
    if stream.read_by == "log" and settings.kind != "sql":
        raise SourceMisconfigured(
            f'read_by = "log" is for tables of PostgreSQL; kind {settings.kind} has read_by ='
            ' "cursor".'
        )
    module, _, name = REGISTRY[settings.kind].partition(":")
    try:
        source: Source = getattr(import_module(module), name)(settings, stream, clock)
    except ModuleNotFoundError as error:
        if settings.kind not in EXTRAS:
            raise
        raise SourceMisconfigured(
            f"kind: the driver for {settings.kind} is not installed (no module {error.name!r}):"
            f" {how_to_install(EXTRAS[settings.kind])}"
        ) from None
    return source
