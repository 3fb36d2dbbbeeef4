"""A back end's HTTP export to read from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import Any

from tests.contracts.places import Place, n_connections_to, stopped
from tests.support.export_server import ExportServer


class HttpExportPlace(Place):
    kind = "http_export"
    reads_whole_exports = True

    def __init__(self, server: ExportServer) -> None:
        super().__init__()
        self.server = server
        self.records = server.lists[self.collection]

    def address(self) -> dict[str, Any]:
        url = self.server.url.replace("://", "://reader:secret@")
        return {"kind": "http_export", "url": url}

    def put(self, id_: str, at: datetime | None, note: Any = None, gone: bool = False) -> None:
        fields = {"id": id_, "note": note, "gone": gone}
        dated = {} if at is None else {"updated_at": at.astimezone(UTC).isoformat()}
        self.records[id_] = {**fields, **dated}

    def delete(self, id_: str) -> None:
        del self.records[id_]

    def outage(self) -> AbstractContextManager[None]:
        return stopped(self.server)

    @contextmanager
    def refusal(self) -> Iterator[None]:
        self.server.faults.status = 403
        try:
            yield
        finally:
            self.server.faults.status = 0

    def n_connections(self) -> int:
        return n_connections_to(self.server.port)
