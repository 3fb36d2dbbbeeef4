"""Look at a place where data lives, whatever kind it is. Each kind is imported when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from retrain_service.sources import EXTRAS
from retrain_service.sources.base import how_to_install
from retrain_service.sources.catalogue import Catalogue
from shared.errors import SourceMisconfigured
from shared.settings.sections import SourceSettings

LOOKERS = {
    "elasticsearch": "retrain_service.sources.elasticsearch.look",
    "files": "retrain_service.sources.files.look",
    "firestore": "retrain_service.sources.firestore.look",
    "http_export": "retrain_service.sources.http_export.look",
    "mongodb": "retrain_service.sources.mongodb.look",
    "prometheus": "retrain_service.sources.prometheus.look",
    "sql": "retrain_service.sources.sql.look",
}
"""Kind of source -> the module whose `look` knows it. Other kinds are described by hand."""


def look_at(settings: SourceSettings, only: Sequence[str] = ()) -> Catalogue:
    """What is there, or what there is of the collections named.

    Raises:
        SourceUnavailable, SourceMisconfigured: nothing can be read, or no kind to look at.
    """
    if settings.kind not in LOOKERS:
        raise SourceMisconfigured(
            f"kind: a source of the kind {settings.kind!r} cannot be looked at by itself."
        )
    try:
        module = import_module(LOOKERS[settings.kind])
    except ModuleNotFoundError as error:
        extra = EXTRAS.get(settings.kind)
        if extra is None:
            raise
        raise SourceMisconfigured(
            f"kind: the driver for {settings.kind} is not installed (no module {error.name!r}):"
            f" {how_to_install(extra)}"
        ) from None
    found: Catalogue = module.look(settings, only)
    return found
