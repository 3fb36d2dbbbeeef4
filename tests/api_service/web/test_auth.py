"""Names, keys and roles, on loopback and elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared.errors import FixConfiguration
from shared.keys.api_keys import KEY_VARIABLE, Role, ensure_api_keys
from shared.settings.root import Settings
from shared.settings.sections import ApiSettings
from tests.api_service.conftest import Serving, serving_config
from tests.support.versions import ServingHome

ANYWHERE = "0.0.0.0"


def key_of(serving: Serving, role: Role) -> dict[str, str]:
    return {"X-API-Key": (serving.config.keys_dir / f"{role}.key").read_text().strip()}


@pytest.fixture
def public(home: ServingHome) -> Serving:
    """A server that other machines can reach."""
    home.publish("m", 1)
    ensure_api_keys(home.path / "keys")
    serving = Serving(home, serving_config(home.path, host=ANYWHERE))
    serving.tick()
    return serving


def test_predictions_are_open_on_loopback(home: ServingHome, serving: Serving) -> None:
    """The first curl on a developer's machine needs no key."""
    home.publish("m", 1)
    serving.tick()

    assert serving.client().post("/predict", json={}).status_code == 200


@pytest.mark.parametrize("path", ["/health", "/livez", "/readyz"])
def test_health_never_needs_a_key(public: Serving, path: str) -> None:
    """Balancers and monitors have none."""
    assert public.client().get(path).status_code == 200


@pytest.mark.parametrize("path", ["/models", "/models/m", "/runs", "/parts", "/nothing"])
def test_everything_else_needs_a_key_where_others_can_reach_it(public: Serving, path: str) -> None:
    """Also what does not exist: an unknown route tells strangers nothing."""
    client = public.client()

    assert client.get(path).status_code == 401
    assert client.get(path, headers=key_of(public, Role.FEED)).status_code == 403
    answered = client.get(path, headers=key_of(public, Role.PREDICT)).status_code
    assert answered == (404 if path == "/nothing" else 200)


def test_an_admin_key_may_predict(public: Serving) -> None:
    """`admin` may do everything."""
    answer = public.client().post("/predict", json={}, headers=key_of(public, Role.ADMIN))

    assert answer.status_code == 200


def test_a_new_key_works_without_a_restart(public: Serving) -> None:
    """Keys overlap while clients change over."""
    path = public.config.keys_dir / f"{Role.PREDICT}.key"
    with path.open("a") as file:
        file.write("a-second-key\n")

    public.tick()

    client = public.client()
    assert client.get("/models", headers={"X-API-Key": "a-second-key"}).status_code == 200
    assert client.get("/models", headers=key_of_first_line(path)).status_code == 200


def key_of_first_line(path: Path) -> dict[str, str]:
    return {"Authorization": f"Bearer {path.read_text().splitlines()[0]}"}


def test_unreadable_keys_leave_the_old_ones_valid(public: Serving) -> None:
    """A slip with a key file must not lock everybody out."""
    headers = key_of(public, Role.PREDICT)
    path = public.config.keys_dir / f"{Role.PREDICT}.key"
    path.unlink()
    path.mkdir()

    public.tick()

    assert public.client().get("/models", headers=headers).status_code == 200


def test_the_key_of_the_environment_is_an_admin_key(
    home: ServingHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers have no key files."""
    monkeypatch.setenv(KEY_VARIABLE, "from-outside")
    serving = Serving(home, serving_config(home.path, host=ANYWHERE))
    serving.tick()

    answer = serving.client().get("/models", headers={"X-API-Key": "from-outside"})

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:5000", 200),
        ("127.0.0.1:5000", 200),
        ("[::1]:5000", 200),
        ("models.example.org", 200),  # without a key only what never needs one
        ("evil.example.com:5000", 421),
    ],
)
def test_loopback_answers_only_to_its_own_names(serving: Serving, host: str, status: int) -> None:
    """A web page that gives its name our address (DNS rebinding) still sends its own name."""
    answer = serving.client().get("/livez", headers={"Host": host})

    assert answer.status_code == status


def test_a_reachable_host_without_any_key_does_not_start(tmp_path: Path) -> None:
    """An open door is a decision that nobody should make by forgetting."""
    from api_service.supervisor.start_checks import prepare

    settings = Settings(home=tmp_path, api=ApiSettings(host=ANYWHERE))
    with pytest.raises(FixConfiguration, match="no API key exists"):
        prepare(settings)

    ensure_api_keys(settings.keys_dir)
    assert not prepare(settings).address.is_loopback


FORWARDED = (
    {"X-Forwarded-For": "203.0.113.9"},
    {"X-Forwarded-Proto": "https"},
    {"X-Forwarded-Anything": "x"},
    {"Forwarded": "for=203.0.113.9"},
    {"Via": "1.1 gate"},
    {"X-Real-IP": "203.0.113.9"},
    {"Host": "models.example.org"},
    {"Host": "192.0.2.1:5000"},
)


@pytest.mark.parametrize("headers", FORWARDED, ids=lambda headers: "-".join(headers))
@pytest.mark.parametrize("path", ["/models", "/runs", "/metrics", "/openapi.json", "/console/runs"])
def test_what_a_proxy_passes_on_needs_a_key_on_loopback(
    serving: Serving, path: str, headers: dict[str, str]
) -> None:
    """To the socket a proxy on this machine is a local client; its clients are anybody."""
    client = serving.client()

    assert client.get(path).status_code == 200
    assert client.get(path, headers=headers).status_code == 401


def test_a_prediction_that_a_proxy_passes_on_needs_a_key(
    home: ServingHome, serving: Serving, admin: dict[str, str]
) -> None:
    """Also on the fast path, and with a key it is as fast."""
    home.publish("m", 1)
    serving.tick()
    client = serving.client()
    forwarded = {"X-Forwarded-For": "203.0.113.9"}

    assert client.post("/predict", json={}, headers=forwarded).status_code == 401
    assert client.post("/predict", json={}, headers={**forwarded, **admin}).status_code == 200
    assert client.get("/livez", headers=forwarded).status_code == 200


def test_http_1_0_is_taken_for_a_proxy(serving: Serving) -> None:
    """It is what nginx speaks by default to the servers behind it, without any other trace."""
    answer = serving.client().get("/models", environ_overrides={"SERVER_PROTOCOL": "HTTP/1.0"})

    assert answer.status_code == 401


def test_keys_can_be_required_of_this_machine_too(home: ServingHome, admin: dict[str, str]) -> None:
    """For a proxy that leaves no trace, and for machines with several users."""
    config = replace(serving_config(home.path), require_keys="always")
    strict = Serving(home, config)
    strict.tick()
    client = strict.client()

    assert client.get("/models").status_code == 401
    assert client.get("/models", headers=admin).status_code == 200
    assert client.get("/livez").status_code == 200


@pytest.mark.parametrize(
    ("peer", "headers", "expected"),
    [
        ("10.1.2.3", {"X-Forwarded-For": "203.0.113.9"}, "203.0.113.9"),
        ("10.1.2.3", {"X-Forwarded-For": "198.51.100.1, 203.0.113.9, 10.9.9.9"}, "203.0.113.9"),
        ("10.1.2.3", {"X-Forwarded-For": "198.51.100.1, who knows"}, "10.1.2.3"),
        ("10.1.2.3", {"X-Forwarded-For": "[2001:db8::7]:4711"}, "2001:db8::7"),
        ("::ffff:10.1.2.3", {"X-Forwarded-For": "203.0.113.9"}, "203.0.113.9"),
        ("192.0.2.1", {"X-Forwarded-For": "203.0.113.9"}, "192.0.2.1"),
    ],
)
def test_the_client_is_the_last_address_that_no_trusted_proxy_has(
    home: ServingHome, admin: dict[str, str], peer: str, headers: dict[str, str], expected: str
) -> None:
    """What stands before it may be made up, and so may all of it where nobody is trusted."""
    config = replace(serving_config(home.path), trusted_proxies=("10.0.0.0/8",))
    proxied = Serving(home, config)
    home.publish("m", 1)
    proxied.tick()

    answer = proxied.client().post(
        "/models/m/hold", headers={**headers, **admin}, environ_overrides={"REMOTE_ADDR": peer}
    )

    (request,) = (proxied.config.requests_dir).glob("*.json")
    assert answer.status_code == 202
    assert f'"API, from {expected}"' in request.read_text()


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [("/ml", "/ml"), ("/ml/", "/ml"), ("//evil.example", ""), ("/a b", ""), ("javascript:", "")],
)
def test_addresses_in_answers_have_the_prefix_of_a_trusted_proxy(
    home: ServingHome, admin: dict[str, str], prefix: str, expected: str
) -> None:
    """Else the next page of a list is not found; and a made-up prefix must lead nowhere else."""
    proxied = Serving(home, replace(serving_config(home.path), trusted_proxies=("127.0.0.1",)))
    for name in ("m", "n"):
        home.publish(name, 1)
    proxied.tick()
    headers = {**admin, "X-Forwarded-Prefix": prefix}

    page: Any = proxied.client().get("/models?limit=1", headers=headers).json
    trained = proxied.client().post("/models/m/train", headers=headers)

    assert page["next"].startswith(f"{expected}/models?limit=1")
    assert trained.headers["Location"].startswith(f"{expected}/runs/")
