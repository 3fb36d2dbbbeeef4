"""Declare what the workload reads from samples of servers. Reads no record."""

from __future__ import annotations

from collections.abc import Sequence

from shared.documents.field_specs import FieldSpec
from shared.workloads.server_metrics.records import ALIASES, SERVER_FIELDS, TIME_FIELDS

_PERCENTAGES = ("cpu", "memory", "disk")


def sample_fields(metrics: Sequence[str]) -> tuple[FieldSpec, ...]:
    """The fields of a sample with these metrics, at least one of which it must have."""
    return (
        FieldSpec("server", "id", "which server", is_needed=True, usual=SERVER_FIELDS[1:]),
        FieldSpec("timestamp", "time", "the moment of the sample", usual=TIME_FIELDS[1:]),
        *(
            FieldSpec(
                metric,
                "number",
                f"the metric {metric}; a sample must have one of them",
                "%" if metric in _PERCENTAGES else "",
                usual=ALIASES.get(metric, ()),
            )
            for metric in metrics
        ),
    )
