"""Drive load with `wrk` and read what it says. Knows no server and no model.

wrk is in Debian's packages (`apt-get install wrk`). It keeps so many connections open and sends
the next request on each as soon as the answer to the last one is there.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_QUANTILES = (50.0, 90.0, 99.0, 99.9)
_MARK = "MEASURED "
_PATIENCE_S = 60.0

_SCRIPT = """
wrk.method = {method}
wrk.body = {body}
for name, value in pairs({headers}) do wrk.headers[name] = value end

local paths, requests, turn = {{{paths}}}, {{}}, 0
if #paths > 0 then
  function init()
    -- Once, as wrk does with its only request: what is measured is the server.
    for i, path in ipairs(paths) do requests[i] = wrk.format(nil, path) end
  end
  function request()
    turn = turn % #requests + 1
    return requests[turn]
  end
end

function done(summary, latency, _)
  local e = summary.errors
  local out = {{summary.requests, summary.duration, e.connect, e.read, e.write, e.status,
    e.timeout, latency.max}}
  for _, quantile in ipairs({{{quantiles}}}) do
    out[#out + 1] = latency:percentile(quantile)
  end
  io.write("{mark}" .. table.concat(out, " ") .. "\\n")
end
"""


class NoWrk(Exception):
    """wrk is not installed, or did not do what it should."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run.

    n_requests : answered, whatever their status. n_refused : with a status that is no 2xx or 3xx.
    n_broken : connections that failed, and answers that did not come in time.
    """

    n_requests: int
    duration_s: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    longest_ms: float
    n_refused: int
    n_broken: int

    @property
    def requests_per_s(self) -> float:
        return self.n_requests / self.duration_s

    @property
    def n_errors(self) -> int:
        return self.n_refused + self.n_broken


def run(
    url: str,
    body: bytes | None,
    connections: int,
    seconds: float,
    threads: int = 1,
    *,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 10.0,
    paths: Sequence[str] = (),
) -> Measured:
    """Send the same request on every connection for so long.

    Args:
        body: POSTed as it is; None sends GET.
        seconds: rounded to whole seconds, at least one, because wrk counts in them.
        paths: asked in turn instead of the one in `url`.
        threads: of wrk; one drives about 60,000 requests a second.

    Raises:
        NoWrk: not installed, or it said something unexpected; with what it said.
    """
    command = shutil.which("wrk")
    if command is None:
        raise NoWrk("wrk is not installed: apt-get install wrk")
    duration_s = max(1, round(seconds))
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory) / "request.lua"
        script.write_bytes(_script(body, headers or {"Content-Type": "application/json"}, paths))
        done = subprocess.run(
            [
                command,
                f"-t{min(threads, connections)}",
                f"-c{connections}",
                f"-d{duration_s}s",
                f"--timeout={timeout_s:.0f}s",
                f"-s{script}",
                url,
            ],
            capture_output=True,
            text=True,
            timeout=duration_s + _PATIENCE_S,
            check=False,
        )
    return _parse(done.stdout + done.stderr)


def _script(body: bytes | None, headers: Mapping[str, str], paths: Sequence[str] = ()) -> bytes:
    content = "nil" if body is None else _lua_text(body)
    fields = ", ".join(
        f"[{_lua_text(name.encode())}] = {_lua_text(value.encode())}"
        for name, value in headers.items()
    )
    return _SCRIPT.format(
        method=json.dumps("GET" if body is None else "POST"),
        body=content,
        headers=f"{{{fields}}}",
        paths=", ".join(_lua_text(path.encode()) for path in paths),
        quantiles=", ".join(str(quantile) for quantile in _QUANTILES),
        mark=_MARK,
    ).encode()


def _lua_text(content: bytes) -> str:
    """Any bytes as a string of Lua: what is not plain is written as its number."""
    plain = re.compile(rb"[A-Za-z0-9_ .,:;{}\[\]()/+*=<>!?-]")
    return (
        '"'
        + "".join(chr(byte) if plain.match(bytes([byte])) else f"\\{byte:03d}" for byte in content)
        + '"'
    )


def _parse(output: str) -> Measured:
    lines = [line for line in output.splitlines() if line.startswith(_MARK)]
    if not lines:
        raise NoWrk(f"wrk measured nothing; it said: {output.strip()[-500:]}")
    values = [float(value) for value in lines[-1].removeprefix(_MARK).split()]
    n_requests, duration_us, connect, read, write, status, timeout, longest_us = values[:8]
    p50_us, p90_us, p99_us, p999_us = values[8:]
    return Measured(
        n_requests=int(n_requests),
        duration_s=duration_us / 1e6,
        p50_ms=p50_us / 1e3,
        p90_ms=p90_us / 1e3,
        p99_ms=p99_us / 1e3,
        p999_ms=p999_us / 1e3,
        longest_ms=longest_us / 1e3,
        n_refused=int(status),
        n_broken=int(connect + read + write + timeout),
    )
