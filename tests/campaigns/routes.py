"""Every route of the OpenAPI document is asked by made-up requests, and by bytes that are none.

No answer is a 5xx but 503, which the document names; the daemon lives and answers afterwards.
"""

from __future__ import annotations

import json
import os
import random
import re
import select
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tests.campaigns.tally import Tally
from tests.support.api_process import ApiHome
from tests.support.whole_api import admin_key, whole_api

CAMPAIGN = "routes"
SCHEMATHESIS_FROM = 5_000
"""With so many rounds the requests of schemathesis are made as well: the suite has its own few."""
_WAITS_S = 0.2
"""So long for an answer to what may not be whole; then no more comes from us."""
_CONFIGURATION = Path(__file__).parent.parent / "api_service" / "schemas" / "schemathesis.toml"
_NAMES = {"model": "mixed", "entity": "shop-1", "run_id": "run3", "product_id": "p003"}
_ODD = (
    *("", "0", "-1", "9" * 400, "1e999", "NaN", "null", "%00", "%ff%fe", "..%2f..%2fkeys"),
    *("²", "\u202e", "' OR 1=1 --", "true", "2026-13-45T99:99:99+14:00", "x" * 9_000),
)
_BODIES = (
    *(b"", b"{}", b"[]", b"null", b"1", b'"x"', b"{", b"\xff\xfe\x00", b"[" * 50_000),
    *(b'{"a":' * 20_000, b'{"instances": [{"x": 1e999}]}', b'{"instances": 5}', b"1" * 5_000),
    *(b'{"records": [{"id": null}]}', b'{"instances": [{"x": "\\ud800"}]}', b"a=b&c=d"),
)


def routes(folder: Path, rounds: int, seed: int, tally: Tally) -> None:
    """So many requests by hand; for many rounds schemathesis as well."""
    dice = random.Random(seed)
    home = whole_api(folder)
    with home.running() as process:
        shown = home.get("/openapi.json")[1]["paths"]
        operations = [(method.upper(), path) for path in sorted(shown) for method in shown[path]]
        key = admin_key(home)
        found = Counter[str]()
        for number in range(rounds):
            method, path = operations[number % len(operations)]
            request = _request(method, path, key, dice)
            kind = "made-up request"
            if number % 3 == 2:
                request, kind = _spoilt(request, dice), "raw bytes"
            status = _status(home, request, may_be_cut=kind == "raw bytes")
            found[status] += 1
            is_bad = status == "nothing for a minute" or (status[0] == "5" and status != "503")
            told = f"{status} for {request[:300]!r}"
            tally.add(CAMPAIGN, kind, "broken" if is_bad else "survived", told)
        print(f"{CAMPAIGN}: {dict(sorted(found.items()))}")
        if rounds >= SCHEMATHESIS_FROM:
            _schemathesis(home, folder, max(1, rounds // 200), key, tally)
        wrong = [] if home.get("/livez")[0] == 200 else ["/livez is not answered"]
        if not process.is_running or process.stop(60):
            wrong.append("the daemon ended")
    log = home.log.read_text(errors="replace")
    wrong += [line for line in log.splitlines() if "Traceback" in line]
    tally.add(CAMPAIGN, "at the end", "broken" if wrong else "survived", "; ".join(wrong)[:3000])


def _request(method: str, path: str, key: str, dice: random.Random) -> bytes:
    """One of the document, with parts as they should be and parts that are odd."""

    def part(match: re.Match[str]) -> str:
        return _NAMES.get(match[1], "x") if dice.random() < 0.6 else _target(dice.choice(_ODD))

    target = re.sub(r"\{(\w+)\}", part, path)
    if dice.random() < 0.5:
        names = ("limit", "offset", "after", "since", "model", "days", "format", "status", "wait")
        query = [f"{dice.choice(names)}={_target(dice.choice(_ODD))}" for _ in range(3)]
        target += "?" + "&".join(query)
    body = b"" if method == "GET" else _body(dice)
    headers = [
        f"{method} {target} HTTP/1.1".encode(),
        b"Host: 127.0.0.1",
        b"Connection: close",
        b"Content-Length: %d" % len(body),
    ]
    if dice.random() < 0.8:
        headers.append(b"X-API-Key: " + key.encode())
    types = (b"application/json", b"application/x-www-form-urlencoded", b"text/plain", b"\xff")
    headers.append(b"Content-Type: " + (types[0] if dice.random() < 0.7 else dice.choice(types)))
    return b"\r\n".join(headers) + b"\r\n\r\n" + body


def _target(text: str) -> str:
    return "".join(c if c.isascii() and c not in " \r\n" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return "".join(f"%{byte:02x}" for byte in character.encode())


def _body(dice: random.Random) -> bytes:
    if dice.random() < 0.5:
        return dice.choice(_BODIES)
    names = ("instances", "records", "deleted", "inputs", "version", "options", "stream", "days")
    values: tuple[Any, ...] = (
        None,
        1,
        -1,
        1e308,
        2**70,
        "",
        "x",
        [],
        [[]],
        {},
        {"x": 1.0},
        [{"x": "y"}],
        True,
    )
    return json.dumps({dice.choice(names): dice.choice(values) for _ in range(3)}).encode()


def _spoilt(request: bytes, dice: random.Random) -> bytes:
    """The same with bytes changed, doubled, cut or put in, or nothing of it at all."""
    spoilt = bytearray(request[: dice.randint(1, len(request))])
    for _ in range(dice.randint(1, 8)):
        at = dice.randrange(len(spoilt))
        what = dice.randrange(4)
        if what == 0:
            spoilt[at] = dice.randrange(256)
        elif what == 1:
            spoilt[at:at] = dice.randbytes(dice.randint(1, 40))
        elif what == 2:
            spoilt[at:at] = dice.choice(
                (b"\r\n", b"\0", b"\r\n\r\n", b"Transfer-Encoding: chunked")
            )
        else:
            spoilt[at:at] = spoilt[: dice.randint(1, 60)]
    return bytes(spoilt) if dice.random() < 0.9 else dice.randbytes(dice.randint(1, 3000))


def _status(home: ApiHome, request: bytes, *, may_be_cut: bool) -> str:
    """Of the answer; "none" when the connection was closed without one, or it waits for more."""
    with socket.create_connection(("127.0.0.1", home.port), timeout=60) as connection:
        try:
            connection.sendall(request)
            if may_be_cut and not select.select([connection], [], [], _WAITS_S)[0]:
                connection.shutdown(socket.SHUT_WR)
            first = connection.recv(64)
        except TimeoutError:
            return "nothing for a minute"
        except OSError:
            return "none"  # it was closed under our hands
    found = re.match(rb"HTTP/1\.\d (\d{3})", first)
    return found[1].decode() if found else "none"


def _schemathesis(home: ApiHome, folder: Path, examples: int, key: str, tally: Tally) -> None:
    command = [str(Path(sys.executable).parent / "schemathesis")]
    command += ["--config-file", str(_CONFIGURATION), "run", "--no-color"]
    command += ["--max-examples", str(examples), "--phases", "coverage,fuzzing,stateful"]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{home.port}/openapi.json"],
        cwd=folder,
        env={**os.environ, "HOTFIT_TEST_KEY": key},
        capture_output=True,
        text=True,
        check=False,
    )
    outcome = "broken" if done.returncode else "survived"
    for line in done.stdout.splitlines():
        if "generated" in line or "Tested:" in line:
            print(f"schemathesis: {line.strip()}")
    tally.add(CAMPAIGN, f"schemathesis, {examples} examples", outcome, done.stdout[-3000:])
