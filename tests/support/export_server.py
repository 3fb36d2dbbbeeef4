"""A small back end with a training-data export, on a loopback port, and the faults of real ones."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

PATH = "/api/products/training_data/"
Record = dict[str, Any]


@dataclass
class Faults:
    """What goes wrong with every answer until it is taken back.

    status : answered instead, with `headers` and `body`.
    cut_off_at : the connection ends after so many bytes of the body.
    byte_delay_s : waited before the body.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    cut_off_at: int | None = None
    says_its_length: bool = True
    delay_s: float = 0.0


@dataclass
class Abilities:
    """What this back end knows beside the plain export."""

    etag: bool = True
    since: bool = False
    says_since: bool = True
    paging: Literal["", "next", "relative", "page", "offset"] = ""
    page_size: int = 3
    api_key: str = ""


class ExportServer:
    """The lists are plain dicts; start() and stop() may alternate."""

    def __init__(self) -> None:
        self.lists: dict[str, dict[str, Record]] = {"appointments": {}, "products": {}}
        self.faults, self.can = Faults(), Abilities()
        self.requests: list[str] = []
        self.n_bodies = 0
        self._released = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{PATH}?days=90&format=json"

    def __enter__(self) -> ExportServer:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def start(self) -> None:
        self._released.clear()
        self._server = _Server(("127.0.0.1", self.port), self._handler())
        self.port = self._server.server_address[1]
        serve = lambda server: server.serve_forever(poll_interval=0.02)  # noqa: E731
        threading.Thread(
            target=serve, args=(self._server,), name="export-server", daemon=True
        ).start()

    def stop(self) -> None:
        if self._server is not None:
            self._released.set()
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.requests.append(self.path)
                if outer._server is None or outer._released.is_set():
                    self.close_connection = True
                    return
                status, headers, body = outer._answer(self.path, self.headers.get)
                outer._released.wait(outer.faults.delay_s)
                self.send_response_only(status)
                self.send_header("Date", format_datetime(datetime.now(UTC), usegmt=True))
                for name, value in headers.items():
                    self.send_header(name, value)
                if outer.faults.says_its_length:
                    self.send_header("Content-Length", str(len(body)))
                else:
                    self.send_header("Connection", "close")
                self.end_headers()
                if status != 304:
                    self.wfile.write(body[: outer.faults.cut_off_at])
                if outer.faults.cut_off_at is not None or not outer.faults.says_its_length:
                    self.close_connection = True

            def log_message(self, *_arguments: Any) -> None:
                """Nothing: the tests read `requests`."""

        return Handler

    def _answer(
        self, path: str, header: Callable[[str], str | None]
    ) -> tuple[int, dict[str, str], bytes]:
        faults, parts = self.faults, urlsplit(path)
        if faults.status:
            return faults.status, faults.headers, faults.body or b"{}"
        if self.can.api_key and header("X-API-Key") != self.can.api_key:
            return 401, {}, b'{"detail": "no such key"}'
        if parts.path != PATH:
            return 404, {}, b'{"detail": "not found"}'
        if faults.body is not None:
            return 200, {"Content-Type": "text/html", **faults.headers}, faults.body
        body = json.dumps(self._body(parse_qs(parts.query))).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        headers = {"Content-Type": "application/json"}
        if self.can.etag:
            headers["ETag"] = etag
            if header("If-None-Match") == etag:
                return 304, headers, b""
        self.n_bodies += 1
        return 200, headers, body

    def _body(self, query: dict[str, list[str]]) -> dict[str, Any]:
        can, metadata = self.can, dict[str, Any]()
        found = {name: list(records.values()) for name, records in self.lists.items()}
        if can.since:
            metadata["supports"] = ["since"] if can.says_since else []
            if "since" in query:
                since = datetime.fromisoformat(query["since"][0])
                found = {
                    name: [r for r in records if datetime.fromisoformat(r["updated_at"]) >= since]
                    for name, records in found.items()
                }
        body: dict[str, Any] = {**found, "metadata": metadata}
        if not can.paging:
            return body
        total = max(len(records) for records in found.values())
        n_pages = max(1, -(-total // can.page_size))
        page = int(query.get("page", ["1"])[0])
        if can.paging == "offset":
            page = int(query.get("offset", ["0"])[0]) // can.page_size + 1
            metadata.update(offset=(page - 1) * can.page_size, limit=can.page_size, total=total)
        elif can.paging == "page":
            metadata.update(page=page, pages=n_pages)
        elif page < n_pages and can.paging == "relative":
            body["next"] = f"?days=90&format=json&page={page + 1}"
        elif page < n_pages:
            # As behind a proxy: the back end does not know by which name it was called.
            body["next"] = f"http://internal:8000{PATH}?days=90&format=json&page={page + 1}"
        begin = (page - 1) * can.page_size
        body.update({name: rows[begin : begin + can.page_size] for name, rows in found.items()})
        return body


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def process_request(self, request: Any, client_address: Any) -> None:
        threading.Thread(
            target=self.process_request_thread,
            args=(request, client_address),
            name="export-server-request",
            daemon=True,
        ).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no fault of the server."""
