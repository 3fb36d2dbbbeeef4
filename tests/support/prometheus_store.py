"""A Prometheus server to read samples from, written to by its own remote-write protocol.

It keeps its data and its address while it is stopped. https://prometheus.io/docs/specs/prw/
"""

from __future__ import annotations

import struct
import subprocess
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from scripts.daemons.network import free_port
from tests.support.waiting import wait_until

_CONFIG = """
global: {scrape_interval: 1h}
storage: {tsdb: {out_of_order_time_window: 60d}}
"""
# Of the password "test", from the documentation of the web configuration; nobody here knows it.
_LOCKED = (
    "basic_auth_users: {someone: $2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay}\n"
)

Sample = tuple[Mapping[str, str], Iterable[tuple[float, int]]]
"""Labels with __name__, and (value, milliseconds since the epoch) in order."""


class PrometheusStore:
    """start() and stop() may alternate. A sample counts at its own second only (no look-back)."""

    def __init__(self, folder: Path) -> None:
        self.port, self._folder = free_port(), folder
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "prometheus.yml").write_text(_CONFIG)
        self._access = folder / "web.yml"
        self._access.write_text("")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={self._folder / 'prometheus.yml'}",
                f"--web.config.file={self._access}",
                f"--storage.tsdb.path={self._folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--web.enable-remote-write-receiver",
                "--query.lookback-delta=900ms",
                "--storage.tsdb.retention.time=100d",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._is_ready, 60, "Prometheus to be ready")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """It answers 401 inside the block: it reads that file anew for each request."""
        self._access.write_text(_LOCKED)
        try:
            yield
        finally:
            self._access.write_text("")

    def write(self, samples: Iterable[Sample]) -> None:
        body = b"".join(_field(1, _series(*each)) for each in samples)
        request = urllib.request.Request(
            f"{self.url}/api/v1/write",
            data=_snappy(body),
            headers={
                "Content-Encoding": "snappy",
                "Content-Type": "application/x-protobuf",
                "X-Prometheus-Remote-Write-Version": "0.1.0",
            },
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 204

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "Prometheus ended"
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@contextmanager
def running_prometheus_store(folder: Path) -> Iterator[PrometheusStore]:
    store = PrometheusStore(folder)
    try:
        store.start()
        yield store
    finally:
        store.stop()


# -- protobuf and snappy, as much as it takes -----------------------------------------------------


def _series(labels: Mapping[str, str], values: Iterable[tuple[float, int]]) -> bytes:
    named = b"".join(
        _field(1, _field(1, name.encode()) + _field(2, labels[name].encode()))
        for name in sorted(labels)
    )
    return named + b"".join(
        _field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + _varint(at_ms))
        for value, at_ms in values
    )


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes((*found, number))


def _snappy(content: bytes) -> bytes:
    """One literal after the other: the format may compress, and need not."""
    pieces = [content[begin : begin + 65_536] for begin in range(0, len(content), 65_536)]
    literals = (b"\xf4" + struct.pack("<H", len(piece) - 1) + piece for piece in pieces)
    return _varint(len(content)) + b"".join(literals)
