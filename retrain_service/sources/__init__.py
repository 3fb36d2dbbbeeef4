"""Which kinds of source there are. Each is imported only when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module

from retrain_service.sources.base import Source
from shared.errors import SourceMisconfigured
from shared.settings import SourceSettings, StreamSettings

Clock = Callable[[], datetime]

REGISTRY: dict[str, str] = {
    "firestore": "retrain_service.sources.firestore:FirestoreSource",
    "sql": "retrain_service.sources.sql:SqlSource",
}


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
    module, _, name = REGISTRY[settings.kind].partition(":")
    source: Source = getattr(import_module(module), name)(settings, stream, clock)
    return source
