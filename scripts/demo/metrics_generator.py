"""Send the load of made-up servers to POST /feed/data, a row of each and interval, until stopped.

    python scripts/demo/metrics_generator.py --interval 5

SYNTHETIC: the servers are those of the demo `server_metrics`. Standard library only; talks to the
API as any agent does, and knows neither daemon. An API that does not answer is tried again.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent.parent)

from scripts.demo.servers import SERVERS, rows_of

TIMEOUT_S = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 after a stop or `--rounds`; 1 when the API refuses the rows; 2 without a key."""
    parser = argparse.ArgumentParser(
        description="Send rows of made-up servers to the API until stopped (synthetic data)."
    )
    parser.add_argument("--url", default="http://127.0.0.1:5000", help="of the API")
    parser.add_argument("--interval", type=float, default=5.0, metavar="S", help="seconds (5)")
    parser.add_argument("--rounds", type=int, default=0, metavar="N", help="stop after so many")
    parser.add_argument("--model", default="", help="where several models take server rows")
    parser.add_argument("--key-file", type=Path, default=Path("var/keys/feed.key"))
    wanted = parser.parse_args(arguments)
    key = _key(wanted.key_file)
    if not key:
        print(f"no key: HOTFIT_API_KEY is not set, and {wanted.key_file} has none", file=sys.stderr)
        return 2
    stopping = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stopping.set())
    address = f"{wanted.url.rstrip('/')}/feed/data"
    if wanted.model:
        address += f"?model={wanted.model}"
    n_rounds = 0
    while not stopping.is_set():
        try:
            answer = send(address, key, rows_now(datetime.now(UTC)))
            print(f"{answer['accepted']} of {len(SERVERS)} rows accepted", flush=True)
        except HTTPError as error:
            if error.code < 500 and error.code != 429:
                print(f"refused: {error.read().decode()}", file=sys.stderr)
                return 1
            print(f"not now: {error}", file=sys.stderr, flush=True)
        except (URLError, TimeoutError, ConnectionError) as error:
            print(f"no answer of {address}: {error}", file=sys.stderr, flush=True)
        n_rounds += 1
        if wanted.rounds and n_rounds >= wanted.rounds:
            break
        stopping.wait(max(wanted.interval, 0.1))
    return 0


def rows_now(now: datetime) -> list[dict[str, Any]]:
    """A row of each server at this moment, with the values of its minute."""
    minute = now.replace(second=0, microsecond=0)
    return [
        {**row, "timestamp": now.isoformat()}
        for server in SERVERS
        for row in rows_of(server, minute, minute)
    ]


def send(address: str, key: str, rows: Sequence[Any]) -> dict[str, Any]:
    """What the API said to the rows.

    Raises:
        HTTPError: it refused them. URLError, TimeoutError, ConnectionError: it did not answer.
    """
    headers = {"Content-Type": "application/json", "X-API-Key": key}
    request = Request(address, json.dumps(rows).encode(), headers)  # noqa: S310 - the user's own
    with urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
        return found


def _key(path: Path) -> str:
    """Of the environment, else the first of the file."""
    if found := os.environ.get("HOTFIT_API_KEY", "").strip():
        return found
    try:
        return next(iter(path.read_text(encoding="utf-8").split()), "")
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
