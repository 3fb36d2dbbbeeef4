"""Look at an HTTP export: the lists in its answer and the records of each. Read-only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retrain_service.sources import utc_now
from retrain_service.sources.catalogue import Catalogue, Collection, columns_of
from retrain_service.sources.http_export.client import ExportClient
from retrain_service.sources.json_values import to_json
from shared.settings.sections import SourceSettings

_N_RECORDS = 60


def look(settings: SourceSettings, only: Sequence[str] = ()) -> Catalogue:
    """The lists of the answer, or those named.

    Raises:
        SourceUnavailable, SourceMisconfigured: nothing can be read.
    """
    client = ExportClient(settings, "", utc_now)
    try:
        lists = client.fetch_lists()
    finally:
        client.close()
    return Catalogue(
        tuple(_list(name, items) for name, items in lists.items() if not only or name in only)
    )


def _list(name: str, items: list[Any]) -> Collection:
    records = [to_json(item) for item in items if isinstance(item, dict)]
    half = _N_RECORDS // 2
    sample = records if len(records) <= _N_RECORDS else [*records[:half], *records[-half:]]
    return Collection(name, columns_of(sample), n_records=len(items), sample=tuple(sample))
