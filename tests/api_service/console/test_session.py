"""Who may look and who may act: sessions, forms, guesses, and what a cookie never opens."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from api_service.console.login_limit import LIMIT_PER_ADDRESS
from api_service.console.session import SESSION_S
from shared.keys.api_keys import Role, rotate_keys
from shared.keys.console_secret import CONSOLE_SECRET_NAME
from shared.versions.manifest import MODEL_NAME
from tests.api_service.console.conftest import HTML, Desk
from tests.api_service.console.past import source, training, write_retrain_report

PLACES = (
    "/",
    "/console/models/m",
    "/console/models/m/entity",
    "/console/runs",
    "/console/runs/none",
    "/console/compare?model=m",
    "/console/pulse",
)


@pytest.fixture
def served(desk: Desk) -> Desk:
    """Two versions, the second of which serves."""
    desk.home.publish("m", 1)
    desk.home.publish("m", 2)
    desk.tick()
    return desk


@pytest.fixture
def outside(tmp_path: Path) -> Desk:
    """The same off loopback, where every route needs a key."""
    desk = Desk(tmp_path, host="192.0.2.1")
    desk.home.publish("m", 1)
    desk.tick()
    return desk


def token(client: FlaskClient) -> str:
    """What the page put into its forms."""
    found = re.search(
        r'name="token" value="(\w+)"', client.get("/console/models/m", headers=HTML).text
    )
    assert found is not None, "no form on the page"
    return found[1]


def press(client: FlaskClient, action: str, **form: str) -> tuple[int, str]:
    headers = {**HTML, "Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    fields = {"model": "m", "action": action, **form}
    answer = client.post("/console/act", data=fields, headers=headers)
    return answer.status_code, answer.text


def asked_for(desk: Desk) -> int:
    return len(list(desk.config.requests_dir.glob("*.json")))


def test_the_cookie_is_for_this_server_alone_and_never_holds_the_key(served: Desk) -> None:
    """A script, another site or a log that sees the cookie must not gain the key."""
    client = served.client()
    answer = client.post(
        "/console/sign-in",
        data={"key": served.key()},
        headers={**HTML, "X-Forwarded-Proto": "https"},
    )

    cookie = answer.headers["Set-Cookie"]
    assert {"HttpOnly", "Secure", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert served.key() not in cookie
    assert f"Max-Age={SESSION_S}" in cookie


def test_a_session_acts_through_the_form_that_was_made_for_it(served: Desk) -> None:
    """The whole way: sign in, press, read what will happen, find the request written."""
    client = served.client()
    served.sign_in(client)

    status, _ = press(client, "hold", token=token(client), reason="stock-taking")

    assert status == 303
    assert asked_for(served) == 1
    page = client.get("/console/models/m", headers=HTML).text
    assert "stays; nothing is promoted until it is released." in page
    assert "stays; nothing" not in client.get("/console/models/m", headers=HTML).text


@pytest.mark.parametrize("sent", ["", "0" * 64, "ü"])
def test_a_form_without_its_token_does_nothing(served: Desk, sent: str) -> None:
    """Another page in the same browser could post it otherwise."""
    client = served.client()
    served.sign_in(client)

    status, text = press(client, "hold", token=sent)

    assert status == 403
    assert "not made for this session" in text
    assert asked_for(served) == 0


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_a_form_from_another_site_does_nothing(served: Desk, headers: dict[str, str]) -> None:
    """Even with the right token."""
    client = served.client()
    served.sign_in(client)
    fields = {"model": "m", "action": "hold", "token": token(client)}

    answer = client.post("/console/act", data=fields, headers={**HTML, **headers})

    assert answer.status_code == 403
    assert asked_for(served) == 0


def test_a_cookie_opens_no_route_of_the_api(served: Desk) -> None:
    """The browser sends it by itself, from any page: the JSON routes must not look at it."""
    client = served.client()
    served.sign_in(client)

    for path in ("train", "hold", "release", "rollback", "reload", "training/cancel"):
        assert client.post(f"/models/m/{path}", json={}).status_code == 401, path
    assert asked_for(served) == 0


def test_off_loopback_a_cookie_opens_no_route_of_the_api_either(outside: Desk) -> None:
    """Not even to read."""
    client = outside.client()
    outside.sign_in(client)

    assert client.get("/", headers=HTML).status_code == 200
    assert client.get("/models").status_code == 401


@pytest.mark.parametrize("path", PLACES)
def test_off_loopback_every_page_asks_who_is_there(outside: Desk, path: str) -> None:
    """A page that forgot would show the whole system to the network."""
    client = outside.client()

    answer = client.get(path, headers=HTML)

    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/console/sign-in?next=")
    assert client.get(path).status_code == 401


def test_every_path_of_the_console_is_behind_the_door_or_meant_to_be_open(outside: Desk) -> None:
    """A new page cannot be forgotten in the list above."""
    app = outside.client().application
    console = [rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("console.")]
    views = {
        rule.endpoint.partition(".")[2]: vars(app.view_functions[rule.endpoint])["needed_role"]
        for rule in console
    }

    assert {name for name, role in views.items() if role != "session"} == {
        *("static", "sign_in", "sign_in_form", "sign_out")
    }
    assert len(PLACES) + 1 == sum(role == "session" for role in views.values())  # and the buttons


@pytest.mark.parametrize("state", ["withheld", "ok"])
def test_withheld_deletions_are_confirmed_beside_their_source(served: Desk, state: str) -> None:
    """Who reads the warning there is not sent to a shell; where nothing waits is no button."""
    models = {"m": training(sources=[source(served.now, state=state)])}
    write_retrain_report(served.config.reports_dir, served.now, models)
    client = served.client()
    served.sign_in(client)

    page = client.get("/console/models/m", headers=HTML).text
    status, _ = press(client, "confirm_deletions", token=token(client))

    assert ('value="confirm_deletions"' in page) is (state == "withheld")
    assert status == 303
    assert asked_for(served) == 1


def test_a_predict_key_reads_and_does_not_act(outside: Desk) -> None:
    """Who may ask for predictions may see how they come about, no more."""
    client = outside.client()
    outside.sign_in(client, Role.PREDICT)

    page = client.get("/console/models/m", headers=HTML)

    assert page.status_code == 200
    assert 'action="/console/act"' not in page.text
    assert press(client, "hold")[0] == 403


def test_a_key_in_a_header_reads_as_on_every_route(outside: Desk) -> None:
    """For curl."""
    client = outside.client()

    def status(key: str) -> int:
        return client.get("/", headers={"X-API-Key": key}).status_code

    assert [status(outside.key(role)) for role in (Role.PREDICT, Role.ADMIN)] == [200, 200]
    assert [status(outside.key(Role.FEED)), status("wrong")] == [403, 401]


def test_a_session_ends_after_its_time(served: Desk) -> None:
    """A browser that was left open in a shared office."""
    client = served.client()
    served.sign_in(client)
    served.now += timedelta(seconds=SESSION_S + 1)

    assert press(client, "hold", token="x")[0] == 401


def test_a_session_ends_with_its_key(served: Desk) -> None:
    """Rotating the key puts everybody out who came in with the old one."""
    client = served.client()
    served.sign_in(client)
    sent = token(client)
    rotate_keys(served.config.keys_dir, Role.ADMIN)
    served.tick()

    assert press(client, "hold", token=sent)[0] == 401


def test_a_forged_or_broken_cookie_is_nobody(served: Desk) -> None:
    """Whatever stands in it, a page comes and nothing may be done."""
    client = served.client()
    served.sign_in(client)
    name = "hotfit_session_5000"
    cookie = client.get_cookie(name)
    assert cookie is not None
    body, _, mac = cookie.value.partition(".")

    for value in (f"{body}.{mac[:-1]}0x", f"e30=.{mac}", "x", ".", f"{body}.", "ü.ü", ""):
        client.set_cookie(name, value)
        assert "Sign in with the admin key" in client.get("/console/models/m", headers=HTML).text
        assert press(client, "hold", token="x")[0] == 401


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_sessions_are_signed_with_a_secret_that_only_this_user_can_read(served: Desk) -> None:
    """Who can read it can be anybody."""
    path = served.config.keys_dir / CONSOLE_SECRET_NAME

    assert path.stat().st_mode & 0o077 == 0
    assert len(path.read_bytes()) == 32


def test_guessing_is_slowed_down_and_says_for_how_long(served: Desk) -> None:
    """HOTFIT_API_KEY may be a word that somebody can remember."""
    client = served.client()

    def guess(key: str) -> tuple[int, str | None]:
        answer = client.post("/console/sign-in", data={"key": key}, headers=HTML)
        return answer.status_code, answer.headers.get("Retry-After")

    assert {guess(f"guess {i}")[0] for i in range(LIMIT_PER_ADDRESS)} == {403}
    assert guess(served.key()) == (429, "60")
    served.now += timedelta(seconds=61)
    assert guess(served.key())[0] == 303


def test_a_home_without_a_secret_is_opened_by_the_key_in_the_environment(
    served: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copied models and one variable are a whole server; its other workers know the session."""
    monkeypatch.setenv("HOTFIT_API_KEY", "a key of my own")
    for path in served.config.keys_dir.glob("*.*"):
        if path.suffix in (".key", ".secret"):
            path.unlink()
    served.tick()
    client, other_worker = served.client(), served.client()

    answer = client.post("/console/sign-in", data={"key": "a key of my own"}, headers=HTML)
    assert answer.status_code == 303
    cookie = client.get_cookie("hotfit_session_5000")
    assert cookie is not None
    other_worker.set_cookie("hotfit_session_5000", cookie.value)
    assert press(other_worker, "hold", token=token(other_worker))[0] == 303

    monkeypatch.setenv("HOTFIT_API_KEY", "another key")
    served.tick()
    assert press(client, "hold", token="x")[0] == 401


def test_where_sessions_cannot_be_signed_the_page_says_what_to_do(served: Desk) -> None:
    """Neither a secret nor a variable: a key alone opens nothing, and nobody should wonder why."""
    (served.config.keys_dir / CONSOLE_SECRET_NAME).unlink()
    client = served.client()

    shown = client.get("/console/sign-in", headers=HTML)
    answer = client.post("/console/sign-in", data={"key": served.key()}, headers=HTML)

    for page in (shown.text, answer.text):
        assert "Start the retrain daemon, which makes the file" in page
        assert "HOTFIT_API_KEY" in page
    assert (shown.status_code, answer.status_code) == (200, 503)


@pytest.mark.parametrize(
    ("wanted", "goes_to"),
    [
        ("/console/models/m", "/console/models/m"),
        ("https://evil.example/", "/"),
        ("//evil.example/console/", "/"),
        ("/console/\\evil.example", "/"),
        ("/models", "/"),
    ],
)
def test_signing_in_leads_to_a_page_of_ours(served: Desk, wanted: str, goes_to: str) -> None:
    """A link to the sign-in page must not be a way to elsewhere."""
    fields = {"key": served.key(), "next": wanted}
    answer = served.client().post("/console/sign-in", data=fields, headers=HTML)

    assert answer.headers["Location"] == goes_to


def test_signing_out_ends_the_session(served: Desk) -> None:
    """In this browser."""
    client = served.client()
    served.sign_in(client)
    client.post("/console/sign-out", headers=HTML)

    assert "Sign in with the admin key" in client.get("/console/models/m", headers=HTML).text


@pytest.mark.parametrize(
    ("action", "form", "status", "said"),
    [
        ("explode", {}, 400, "expected one of train"),
        ("rollback", {"version": "v000009-20261121T083000Z"}, 400, "one of the stored versions"),
        ("rollback", {"version": "../../etc"}, 400, "one of the stored versions"),
    ],
)
def test_what_cannot_be_done_is_said(
    served: Desk, action: str, form: dict[str, str], status: int, said: str
) -> None:
    """With the sentence of the API, as a page."""
    client = served.client()
    served.sign_in(client)

    found = press(client, action, token=token(client), **form)

    assert found[0] == status
    assert said in found[1].replace("&#39;", "'")
    assert asked_for(served) == 0


def test_the_way_back_to_a_damaged_version_is_refused_at_once(served: Desk) -> None:
    """As by the admin route: a request that can only fail would be a promise."""
    client = served.client()
    served.sign_in(client)
    signal = served.home.store.signal("m")
    assert signal is not None
    assert signal.previous is not None
    (served.home.store.version_dir("m", signal.previous) / MODEL_NAME).write_bytes(b"no model")

    found = press(client, "rollback", token=token(client))

    assert found[0] == 409
    assert "No request was written" in found[1]
    assert asked_for(served) == 0


def test_every_button_writes_the_request_that_the_admin_route_writes(served: Desk) -> None:
    """One retrain daemon reads both."""
    client = served.client()
    served.sign_in(client)
    for action in ("train", "cancel", "rollback", "hold", "release"):
        assert press(client, action, token=token(client))[0] == 303

    written = [path.read_text() for path in served.config.requests_dir.glob("*.json")]

    for action in ("train", "cancel", "rollback", "hold", "release"):
        assert sum(f'"kind": "{action}"' in one for one in written) == 1
    assert all('"requested_by": "console, key ' in one for one in written)
