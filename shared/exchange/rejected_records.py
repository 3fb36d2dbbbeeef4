"""The list of records that cannot be used, written by the retrain daemon for people to mend them.

One file for each model, with what it holds now; a record that is mended is gone from it.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import msgspec

from shared.exchange.json_files import read_struct

REJECTED_DIR = "rejected"


class RejectedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record that cannot be used, as it stands in the source.

    id : by which it is found there. updated_at : UTC. entity : whose it is; "" for nobody's.
    field : the field that the reason is about; None where it is about no single one.
    value : what the field holds, texts masked; None where it is missing.
    """

    stream: str
    id: str
    updated_at: datetime
    reason: str
    field: str | None = None
    value: str | None = None
    entity: str = ""


class RejectedCount(msgspec.Struct, frozen=True):
    """How many records of a stream cannot be used for one reason."""

    stream: str
    reason: str
    n_records: int


class RejectedRecords(msgspec.Struct, frozen=True, kw_only=True):
    """All counts, and of the records the newest of each reason."""

    model: str
    written_at: datetime
    counts: list[RejectedCount]
    records: list[RejectedRecord]

    def matching(
        self, entity: str = "", stream: str | None = None, reason: str | None = None
    ) -> list[RejectedRecord]:
        """Those of an entity and of nobody, of a stream, whose reason has these words."""
        words = (reason or "").casefold()
        return [
            record
            for record in self.records
            if (not entity or record.entity in (entity, ""))
            and (stream is None or record.stream == stream)
            and words in record.reason.casefold()
        ]


def rejected_path(reports_dir: Path, model: str) -> Path:
    return reports_dir / REJECTED_DIR / f"{quote(model, safe='')}.json"


def read_rejected(reports_dir: Path, model: str) -> RejectedRecords | None:
    """The list of a configured model; None before the first look.

    Raises:
        SignalUnreadable: the file cannot be read.
    """
    return read_struct(rejected_path(reports_dir, model), RejectedRecords)
