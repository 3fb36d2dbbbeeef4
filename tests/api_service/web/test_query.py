"""Values that no route can use: the client hears of its mistake, whatever it sends."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from shared.keys.api_keys import ensure_api_keys
from shared.run_log.writer import RunLog
from tests.support.api_process import ApiHome
from tests.support.whole_api import CONFIGURATION, admin_key

ODD = (
    *("", " ", "²", "٣", "１２", "-1", "+1", "1_000", "1e3", "1.5", "NaN", "inf", "\0", "true\n"),
    *("9" * 19, "9" * 20, "9" * 5000, "0" * 5000 + "1", "\ud800", "\U0010ffff", "../../etc", "%"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-02-30", "10000-01-01"),
    *("2026-11-21T08:00:00+24:00", "999999999999999999:x", "9223372036854775807:\0"),
)
CONSOLE = (
    *("/?offset={}", "/?q={}", "/?show={}", "/console/runs?offset={}", "/console/runs?status={}"),
    *("/console/models/m?over={}", "/console/compare?model=m&a={}", "/console/runs/{}"),
)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiHome]:
    home = ApiHome(tmp_path, workers=1)
    with home.config.open("a") as file:
        file.write(CONFIGURATION)
    ensure_api_keys(home.path / "keys")
    RunLog.open(home.path / "run_log.sqlite").close()
    home.publish("m", 1)
    with home.running():
        yield home


class Client:
    """One connection with the admin's key."""

    def __init__(self, home: ApiHome) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", home.port, timeout=60)
        self._headers = {"X-API-Key": admin_key(home), "Accept": "text/html"}

    def status(self, method: str, path: str) -> int:
        self._connection.request(method, path, headers=self._headers)
        with self._connection.getresponse() as answer:
            answer.read()
            return answer.status


def encoded(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


def addresses(document: Any) -> Iterator[tuple[str, str]]:
    """(method, address) of every operation, with each odd value in each of its parameters."""
    known = {"model": "m", "entity": "e"}
    for template, item in document["paths"].items():
        for method, operation in item.items():
            parameters = operation.get("parameters", [])
            for odd in parameters:
                places = {one["name"]: known.get(one["name"], "x") for one in parameters}
                for value in ODD:
                    path = template.format(**{n: encoded(t) for n, t in places.items()})
                    if odd["in"] == "query":
                        yield method.upper(), f"{path}?{odd['name']}={encoded(value)}"
                    elif "entity" not in template:
                        places[odd["name"]] = value
                        path = template.format(**{n: encoded(t) for n, t in places.items()})
                        yield method.upper(), path


def test_no_odd_value_in_an_address_is_a_fault_of_ours(api: ApiHome) -> None:
    """5,000 digits, a superscript, a time outside of the calendar: 4xx on every route."""
    client, document = Client(api), api.get("/openapi.json")[1]

    failed = [
        (status, method, path[:100])
        for method, path in [
            *addresses(document),
            *(("GET", page.format(encoded(value))) for page in CONSOLE for value in ODD),
        ]
        if (status := client.status(method, path)) == 500
    ]

    assert failed == []
    assert "request_failed" not in api.log.read_text()
