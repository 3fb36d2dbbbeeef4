"""Names, keys and roles, on loopback and elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import FixConfiguration
from shared.keys import KEY_VARIABLE, Role, ensure_api_keys
from shared.settings import Settings
from shared.settings_sections import ApiSettings
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
        ("models.example.org", 200),
        ("evil.example.com:5000", 421),
    ],
)
def test_loopback_answers_only_to_its_own_names(serving: Serving, host: str, status: int) -> None:
    """A web page that gives its name our address (DNS rebinding) still sends its own name."""
    answer = serving.client().get("/livez", headers={"Host": host})

    assert answer.status_code == status


def test_a_reachable_host_without_any_key_does_not_start(tmp_path: Path) -> None:
    """An open door is a decision that nobody should make by forgetting."""
    from api_service.server import prepare

    settings = Settings(home=tmp_path, api=ApiSettings(host=ANYWHERE))
    with pytest.raises(FixConfiguration, match="no API key exists"):
        prepare(settings)

    ensure_api_keys(settings.keys_dir)
    assert not prepare(settings).address.is_loopback
