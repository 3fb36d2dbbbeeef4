"""Look at a Prometheus server: whose exporters it scrapes, and a few samples of each. Read-only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from retrain_service.sources import utc_now
from retrain_service.sources.catalogue import Catalogue, Collection, columns_of
from retrain_service.sources.prometheus.client import PrometheusClient
from retrain_service.sources.prometheus.samples import EXPORTERS, NODE_EXPORTER
from retrain_service.sources.prometheus.source import PrometheusSource
from shared.errors import SourceMisconfigured
from shared.settings.sections import SourceSettings
from shared.settings.streams import StreamSettings

_N_SAMPLES = 60
_MOST_NAMES = 6


def look(settings: SourceSettings, only: Sequence[str] = ()) -> Catalogue:
    """A collection for each exporter of server metrics whose metrics are there.

    Raises:
        SourceUnavailable, SourceMisconfigured: nothing can be read.
    """
    found: list[Collection] = []
    remarks: list[str] = []
    for exporter, queries in EXPORTERS.items():
        name = only[0] if only else "metrics"
        stream = StreamSettings(collection=name, queries=dict(queries))
        source = PrometheusSource(settings, stream, utc_now)
        try:
            seen = source.inspect(n_sample=_N_SAMPLES)
        except SourceMisconfigured as error:
            if "queries." not in str(error):
                raise
            remarks.append(f"{exporter}: {error}")
            continue
        finally:
            source.close()
        if seen.sample:
            records = [dict(record.fields) for record in seen.sample]
            own: Mapping[str, object] = {} if queries is NODE_EXPORTER else {"queries": queries}
            found.append(
                Collection(
                    name,
                    columns_of(records),
                    ("id",),
                    n_records=seen.n_records,
                    sample=tuple(records),
                    settings=own,
                )
            )
    if not found:
        remarks.append(_what_is_there(settings))
    return Catalogue(tuple(found), tuple(remarks))


def _what_is_there(settings: SourceSettings) -> str:
    client = PrometheusClient(settings, "metrics")
    try:
        names = client.metric_names()
    finally:
        client.close()
    if not names:
        return "the server has no metric yet; or its newest are older than history_days."
    shown = ", ".join(names[:_MOST_NAMES])
    return (
        f"none of its {len(names):,} metrics are of {', '.join(EXPORTERS)}; it has {shown} …"
        " Name the expressions yourself: [models.NAME.streams.metrics.queries]"
        ' cpu = "avg by (instance) (…)"'
    )
