"""Put the answers of several range queries together: one row per server and step. No I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.errors import SourceMisconfigured

NODE_EXPORTER: Mapping[str, str] = {
    "cpu": '100 - 100 * avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m]))',
    "memory": "100 * max by (instance)"
    " (1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)",
    "disk": '100 * max by (instance) (1 - node_filesystem_avail_bytes{fstype!~"tmpfs|overlay|'
    'squashfs|ramfs|iso9660"} / node_filesystem_size_bytes)',
    "load": "max by (instance) (node_load1)",
}
"""What is asked for where the stream names no queries. Counters by rate(), which knows resets."""

WINDOWS_EXPORTER: Mapping[str, str] = {
    "cpu": '100 - 100 * avg by (instance) (rate(windows_cpu_time_total{mode="idle"}[5m]))',
    "memory": "100 * max by (instance)"
    " (1 - windows_os_physical_memory_free_bytes / windows_cs_physical_memory_bytes)",
    "disk": "100 * max by (instance)"
    " (1 - windows_logical_disk_free_bytes / windows_logical_disk_size_bytes)",
    "load": "max by (instance) (windows_system_processor_queue_length)",
}
TELEGRAF: Mapping[str, str] = {
    "cpu": '100 - avg by (instance) (cpu_usage_idle{cpu="cpu-total"})',
    "memory": "max by (instance) (mem_used_percent)",
    "disk": "max by (instance) (disk_used_percent)",
    "load": "max by (instance) (system_load1)",
}
EXPORTERS: Mapping[str, Mapping[str, str]] = {
    "the node exporter": NODE_EXPORTER,
    "windows_exporter": WINDOWS_EXPORTER,
    "telegraf": TELEGRAF,
}
"""Whose metrics -> the queries that make records of them."""


@dataclass(slots=True)
class Samples:
    """Rows by (time in microseconds, server), each field -> number. Steps are whole multiples."""

    label: str
    step_us: int
    rows: dict[tuple[int, str], dict[str, float]] = field(default_factory=dict)

    def add(
        self, name: str, labels: Mapping[str, str], values: Sequence[tuple[float, str]]
    ) -> None:
        """One series of the query for the field `name`. NaN and infinity are no value.

        Raises:
            SourceMisconfigured: it belongs to no server, or to one that has had a series.
        """
        server = labels.get(self.label)
        if not server:
            there = ", ".join(sorted(set(labels) - {"__name__"})) or "none"
            raise SourceMisconfigured(
                f"queries.{name}: its series have no label {self.label!r} (labels: {there});"
                f" write for instance avg by ({self.label}) (…), or name another server_label."
            )
        for at_s, text in values:
            number = float(text)
            if not math.isfinite(number):
                continue
            at_us = round(at_s * 1_000_000 / self.step_us) * self.step_us
            row = self.rows.setdefault((at_us, server), {})
            if name in row:
                others = ", ".join(sorted(set(labels) - {"__name__", self.label}))
                raise SourceMisconfigured(
                    f"queries.{name}: two series belong to the server {server!r} (they differ in"
                    f" {others or 'their names'}); write avg by ({self.label}) (…) or the like."
                )
            row[name] = number

    def n_servers(self) -> int:
        return len({server for _, server in self.rows})

    def ordered(self) -> list[tuple[int, str, Mapping[str, Any]]]:
        return [(at_us, server, row) for (at_us, server), row in sorted(self.rows.items())]
