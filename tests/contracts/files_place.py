"""A folder of files to read from, each rewritten whole and put in its place at once."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from tests.contracts.places import Place, away

COLUMNS = ("id", "updated_at", "note", "gone")


class FilesPlace(Place):
    kind = "files"
    reads_whole_exports = True

    def __init__(self, folder: Path, form: str) -> None:
        super().__init__()
        self.folder, self.form = folder / "export", form
        self.folder.mkdir(parents=True)
        self.path = self.folder / f"{self.collection}.{form}"
        self.rows: dict[str, dict[str, Any]] = {}
        self._write()

    def address(self) -> dict[str, Any]:
        return {"kind": "files", "url": str(self.folder)}

    def put(self, id_: str, at: datetime | None, note: Any = None, gone: bool = False) -> None:
        self._set(id_, at, note, gone)
        self._write()

    def put_many(self, records: Mapping[str, datetime]) -> None:
        for id_, at in records.items():
            self._set(id_, at, None, False)
        self._write()

    def delete(self, id_: str) -> None:
        del self.rows[id_]
        self._write()

    def outage(self) -> AbstractContextManager[None]:
        return away(self.folder)

    @contextmanager
    def refusal(self) -> Iterator[None]:
        elsewhere = self.path.with_name(f"something_else.{self.form}")
        self.path.rename(elsewhere)
        try:
            yield
        finally:
            elsewhere.rename(self.path)

    def n_connections(self) -> int:
        opened = psutil.Process().open_files()
        return sum(Path(found.path).parent == self.folder for found in opened)

    def _set(self, id_: str, at: datetime | None, note: Any, gone: bool) -> None:
        text = None if at is None else at.astimezone(UTC).isoformat()
        self.rows[id_] = {
            "id": id_,
            "updated_at": text,
            "note": json.dumps(note),
            "gone": int(gone),
        }

    def _write(self) -> None:
        beside = self.path.with_name(f"{self.path.name}.tmp")
        rows = list(self.rows.values())
        if self.form == "parquet":
            types = zip(COLUMNS, (pa.string(), pa.string(), pa.string(), pa.int8()), strict=True)
            pq.write_table(pa.Table.from_pylist(rows, pa.schema(list(types))), beside)
        elif self.form == "jsonl.gz":
            lines = "".join(f"{json.dumps(row)}\n" for row in rows)
            beside.write_bytes(gzip.compress(lines.encode()))
        else:
            with beside.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS)
                writer.writeheader()
                writer.writerows(rows)
        beside.replace(self.path)
