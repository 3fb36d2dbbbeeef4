"""Behind real proxies with the configurations of the documentation: closed, and usable."""

from __future__ import annotations

import http.client
import json
import re
import ssl
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from scripts.daemons.network import free_port
from shared.keys.api_keys import Role, ensure_api_keys
from shared.keys.console_secret import ensure_console_secret
from tests.support import proxies
from tests.support.api_process import ApiHome
from tests.support.asking import ask
from tests.support.proxies import documented, replaced

pytestmark = pytest.mark.skipif(
    not proxies.is_there("nginx"), reason="nginx is not installed (Debian: nginx-light)"
)

PREFIX = "/hotfit"
API = """
trusted_proxies = ["127.0.0.1"]
"""


class Site:
    """A client of the site in front: like a browser, with one cookie jar and one address."""

    def __init__(self, port: int, address: str = "127.0.0.2") -> None:
        self.port, self.address = port, address
        self.cookies: dict[str, str] = {}
        self.set_cookies: list[str] = []

    def ask(
        self, method: str, path: str, form: dict[str, str] | None = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, str]:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            "localhost", self.port, timeout=60, context=context, source_address=(self.address, 0)
        )
        sent = {"Accept": "text/html", "Host": f"localhost:{self.port}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if form is not None:
            sent |= {
                "Content-Type": "application/x-www-form-urlencoded",
                "Origin": f"https://localhost:{self.port}",
                "Sec-Fetch-Site": "same-origin",
            }
        try:
            connection.request(method, path, urlencode(form) if form else None, sent)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        for line in answer.headers.get_all("Set-Cookie") or []:
            self.set_cookies.append(line)
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer.status, answer.headers, text


@pytest.fixture
def home(tmp_path: Path) -> Iterator[ApiHome]:
    home = ApiHome(tmp_path, workers=1, api=API)
    ensure_api_keys(home.path / "keys")
    ensure_console_secret(home.path / "keys")
    home.publish("m", 1)
    home.publish("m", 2)
    with home.running():
        yield home


@pytest.fixture(params=["nginx", "caddy"])
def site(request: pytest.FixtureRequest, tmp_path: Path, home: ApiHome) -> Iterator[int]:
    """Port of a proxy with the configuration of the page."""
    if not proxies.is_there(request.param):
        pytest.skip(f"{request.param} is not installed")
    crt, key = proxies.certificate(tmp_path)
    port = free_port()
    if request.param == "nginx":
        server = replaced(
            documented("nginx"),
            **{
                "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
                "models.example.org": "localhost",
                "/etc/ssl/models.crt": str(crt),
                "/etc/ssl/models.key": str(key),
                "127.0.0.1:5000": f"127.0.0.1:{home.port}",
            },
        )
        running = proxies.nginx(tmp_path / "proxy", server, port)
    else:
        caddyfile = replaced(
            documented("caddy"),
            **{
                "models.example.org {": f"https://localhost:{port} {{\n    tls {crt} {key}",
                "127.0.0.1:5000": f"127.0.0.1:{home.port}",
            },
        )
        running = proxies.caddy(tmp_path / "proxy", caddyfile, port)
    with running:
        yield port


def key_of(home: ApiHome, role: Role) -> str:
    return (home.path / "keys" / f"{role}.key").read_text().strip()


def test_nothing_but_health_is_open_behind_a_bare_proxy_pass(tmp_path: Path, home: ApiHome) -> None:
    """The shortest configuration that people find: no header, no setting of ours."""
    port = free_port()
    server = f"""server {{ listen 127.0.0.1:{port};
        location / {{ proxy_pass http://127.0.0.1:{home.port}; }} }}"""
    key = {"X-API-Key": key_of(home, Role.PREDICT)}

    with proxies.nginx(tmp_path / "proxy", server, port):
        statuses = {
            path: ask(port, "GET", path)[0]
            for path in ("/models", "/runs", "/events", "/metrics", "/v2", "/openapi.json")
        }
        predicted = ask(port, "POST", "/models/m/predict", {"instances": [{"x": 1.0}]})[0]
        with_key = ask(port, "POST", "/models/m/predict", {"instances": [{"x": 1.0}]}, key)[0]
        health = ask(port, "GET", "/health")[0]

    assert set(statuses.values()) == {401}, statuses
    assert predicted == 401
    assert (with_key, health) == (200, 200)
    assert home.get("/models")[0] == 200


def test_the_api_works_below_a_prefix_with_tls(site: int, home: ApiHome) -> None:
    """Keys, pages of lists and addresses are as a client of the site must use them."""
    client = Site(site)
    key = key_of(home, Role.ADMIN)

    closed = client.ask("GET", f"{PREFIX}/models")
    listed = client.ask("GET", f"{PREFIX}/models", X_API_Key=key)
    trained = client.ask("POST", f"{PREFIX}/models/m/train", X_API_Key=key)
    followed = client.ask("GET", trained[1]["Location"], X_API_Key=key)
    document: Any = json.loads(client.ask("GET", f"{PREFIX}/openapi.json", X_API_Key=key)[2])

    assert closed[0] == 401
    assert listed[0] == 200
    assert trained[0] == 202
    assert trained[1]["Location"].startswith(f"{PREFIX}/runs/")
    assert followed[0] == 200
    assert document["servers"] == [{"url": PREFIX}]
    (request,) = (home.path / "requests").glob("*.json")
    assert f"API, from {client.address}" in request.read_text()


def test_the_console_works_below_a_prefix_with_tls(site: int, home: ApiHome) -> None:
    """Redirects, cookies, every link, a button and the way out stay below the prefix."""
    client = Site(site)

    status, headers, _ = client.ask("GET", f"{PREFIX}/")
    assert (status, headers["Location"]) == (303, f"{PREFIX}/console/sign-in?next=%2F")
    form = client.ask("GET", headers["Location"])[2]
    assert f'action="{PREFIX}/console/sign-in"' in form
    key = key_of(home, Role.ADMIN)
    status, headers, _ = client.ask(
        "POST", f"{PREFIX}/console/sign-in", {"key": key, "next": "/console/models/m"}
    )
    assert (status, headers["Location"]) == (303, f"{PREFIX}/console/models/m")
    (cookie,) = client.set_cookies
    assert f"; Path={PREFIX}" in cookie
    assert "; Secure" in cookie
    assert "; HttpOnly" in cookie

    page = client.ask("GET", f"{PREFIX}/console/models/m")[2]
    assert f'data-pulse="{PREFIX}/console/pulse"' in page
    addresses = set(re.findall(r'(?:href|src|action|data-pulse)="([^"#]+)', page))
    addresses |= set(re.findall(r'href="([^"#]+)', client.ask("GET", f"{PREFIX}/")[2]))
    forms = {f"{PREFIX}/console/act", f"{PREFIX}/console/sign-out"}
    assert forms <= addresses
    for address in addresses - forms - {f"{PREFIX}/console/compare"}:
        assert address.startswith(f"{PREFIX}/"), address
        assert client.ask("GET", unescape(address))[0] == 200, address

    (token, *_) = re.findall(r'name="token" value="([^"]+)"', page)
    acted = client.ask(
        "POST", f"{PREFIX}/console/act", {"token": token, "model": "m", "action": "hold"}
    )
    assert (acted[0], acted[1]["Location"]) == (303, f"{PREFIX}/console/models/m")
    assert "Asked for" in client.ask("GET", acted[1]["Location"])[2]
    left = client.ask("POST", f"{PREFIX}/console/sign-out", {"out": "1"})
    assert (left[0], left[1]["Location"]) == (303, f"{PREFIX}/")
    assert client.ask("GET", f"{PREFIX}/")[0] == 303


def test_wrong_keys_of_one_client_lock_out_nobody_else(site: int, home: ApiHome) -> None:
    """Before, all clients of a proxy had its address; and who guesses cannot take another."""
    path, key = f"{PREFIX}/console/sign-in", key_of(home, Role.ADMIN)
    guesser, admin = Site(site), Site(site, "127.0.0.3")

    guesses = [guesser.ask("POST", path, {"key": "wrong"})[0] for _ in range(5)]
    as_another = {"X_Forwarded_For": "198.51.100.7", "Forwarded": "for=198.51.100.7"}

    assert guesses == [403] * 5
    assert guesser.ask("POST", path, {"key": "wrong"}, **as_another)[0] == 429
    assert admin.ask("POST", path, {"key": key})[0] == 303
