"""The fast path answers what Flask would, and gives way to everything that somebody adds."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import flask
import pytest
from flask import Flask, request

from api_service.app import create_app
from api_service.context import Context
from api_service.fast_path import FastPath
from shared.keys.api_keys import Role, ensure_api_keys
from tests.api_service.conftest import NOW, Serving, serving_config
from tests.support.versions import ServingHome

BODY = b'{"instances": [{"x": 1}, {"x": 2}]}'
PATHS = ("/predict", "/models/m/predict", "/models/m/device-1/predict")

Answer = tuple[str, dict[str, str], bytes]


class Watched:
    """A complete application, and whether Flask was asked."""

    def __init__(self, serving: Serving) -> None:
        self.serving = serving
        context = Context(
            serving.config, serving.table, serving.home.store, serving.ring, lambda: NOW
        )
        self.context = context
        self.app: Flask = create_app(context)
        fast = self.app.wsgi_app
        assert isinstance(fast, FastPath)
        inner = fast._inner
        self.n_by_flask = 0

        def count(environ: Any, start_response: Any) -> Any:
            self.n_by_flask += 1
            return inner(environ, start_response)

        fast._inner = count

    def post(self, path: str, body: bytes = BODY, *, by_flask: bool = False, **more: Any) -> Answer:
        """A request as the server hands it over."""
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "5000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "localhost:5000",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            "wsgi.input_terminated": True,
            "wsgi.url_scheme": "http",
            **more,
        }
        environ = {name: value for name, value in environ.items() if value is not None}
        seen: list[Any] = []
        fast = self.app.wsgi_app
        application: Any = fast._inner if by_flask else self.app  # type: ignore[attr-defined]
        parts = application(environ, lambda *args: seen.append(args[:2]))
        status, headers = seen[0]
        return status, dict(headers), b"".join(parts)


@pytest.fixture
def watched(home: ServingHome) -> Watched:
    home.publish("m", 7)
    home.publish("m/device-1", 3)
    serving = Serving(home, serving_config(home.path, default_model="m"))
    serving.tick()
    return Watched(serving)


@pytest.mark.parametrize("path", PATHS)
def test_a_plain_prediction_never_reaches_flask_and_is_what_flask_answers(
    watched: Watched, path: str
) -> None:
    """Flask's request layer costs more than the prediction; nobody may see it missing."""
    fast = watched.post(path)
    assert watched.n_by_flask == 0

    slow = watched.post(path, by_flask=True)

    assert watched.n_by_flask == 1
    assert fast == slow
    assert fast[0] == "200 OK"


@pytest.mark.parametrize(
    ("path", "body", "more"),
    [
        ("/predict", b'{"instances": [{"y": 1}]}', {}),
        ("/predict", b'{"instances": [{"x": 1}]', {}),
        ("/predict", b'{"sleep_s": 0}', {}),
        ("/predict", b'{"raise": true}', {}),
        ("/predict", BODY, {"HTTP_HOST": "evil.example.com"}),
        ("/predict", b" " * 10_001, {}),
        ("/predict", BODY, {"CONTENT_LENGTH": None}),
        ("/predict", BODY, {"CONTENT_LENGTH": None, "HTTP_TRANSFER_ENCODING": "chunked"}),
        ("/predict", BODY, {"REQUEST_METHOD": "GET"}),
        ("/predict/", BODY, {}),
        ("//predict", BODY, {}),
        ("/models/none/predict", BODY, {}),
        ("/models/m/none/predict", BODY, {}),
        ("/models//predict", BODY, {}),
        ("/models/m/device-1/x/predict", BODY, {}),
        ("/v2/models/m/predict", BODY, {}),
        ("/models/m", BODY, {}),
    ],
)
def test_whatever_is_unusual_is_answered_by_flask(
    watched: Watched, path: str, body: bytes, more: dict[str, Any]
) -> None:
    """One place words errors, and its words are the same whichever way a request took."""
    watched.post("/predict")
    through = watched.post(path, body, **more)
    assert watched.n_by_flask == 1

    direct = watched.post(path, body, by_flask=True, **more)

    # A defect is answered with a mark of its own.
    assert through[0] == direct[0]
    assert (through[2] == direct[2]) or through[0].startswith("500")


def test_a_failure_is_counted_once(watched: Watched) -> None:
    """The receipt of a swap says how many requests failed."""
    status, _, _ = watched.post("/predict", b'{"raise": true}')

    assert status.startswith("500")
    assert watched.serving.table.slot("m").n_failed == 1


def test_a_swap_is_seen_by_the_next_request(watched: Watched) -> None:
    """What belongs to a version goes with it."""
    before = watched.post("/predict")
    watched.serving.home.publish("m", 8)
    watched.serving.tick()

    after = watched.post("/predict")

    assert b"v000007" in before[2]
    assert b"v000008" in after[2]
    assert b'"generation":2' in after[2]
    assert watched.n_by_flask == 0


def test_every_fast_answer_is_counted(watched: Watched) -> None:
    """Metrics must not miss what Flask does not see, nor count twice what it does."""
    for path in PATHS:
        watched.post(path)
    watched.post("/predict", b"{")

    cells = watched.context.recorder.cells()
    counted = {key: sum(cell[:-2]) for key, cell in cells.items()}
    rows = {key: cell[-1] for key, cell in cells.items()}
    version, device = watched.serving.version("m"), watched.serving.version("m/device-1")
    assert version is not None
    assert device is not None
    assert counted.pop(("m", version, "/predict", 200)) == 1
    assert counted.pop(("m", version, "/models/<model>/predict", 200)) == 1
    assert counted.pop(("m/device-1", device, "/models/<model>/predict", 200)) == 1
    assert list(counted.values()) == [1]
    assert rows["m", version, "/predict", 200] == 2
    assert watched.context.recorder.in_flight == 0


def _add_route(app: Flask) -> None:
    app.add_url_rule("/models/m/predict", "mine", lambda: "mine", methods=["POST"])


def _replace_view(app: Flask) -> None:
    view: Any = app.view_functions["predict.predict_default"]
    app.view_functions["predict.predict_default"] = lambda: view()


def _replace_method(app: Flask) -> None:
    dispatch = app.dispatch_request
    app.dispatch_request = lambda: dispatch()  # type: ignore[method-assign]


ADDED: dict[str, Callable[[Flask], Any]] = {
    "before_request": lambda app: app.before_request(lambda: None),
    "after_request": lambda app: app.after_request(lambda answer: answer),
    "teardown_request": lambda app: app.teardown_request(lambda _error: None),
    "teardown_appcontext": lambda app: app.teardown_appcontext(lambda _error: None),
    "url_value_preprocessor": lambda app: app.url_value_preprocessor(lambda *_: None),
    "before_request of the blueprint": lambda app: app.before_request_funcs.setdefault(
        "predict", []
    ).append(lambda: None),
    "after_request of the blueprint": lambda app: app.after_request_funcs.setdefault(
        "predict", []
    ).append(lambda answer: answer),
    "view": _replace_view,
    "method": _replace_method,
    "request class": lambda app: setattr(
        app, "request_class", type("Mine", (app.request_class,), {})
    ),
    "session": lambda app: setattr(
        app, "session_interface", flask.sessions.SecureCookieSessionInterface()
    ),
    "trusted hosts": lambda app: app.config.update(TRUSTED_HOSTS=["localhost"]),
}


@pytest.mark.parametrize("what", ADDED)
def test_it_gives_way_to_whatever_somebody_added(watched: Watched, what: str) -> None:
    """A hook that checks, logs or changes requests must see every one of them."""
    ADDED[what](watched.app)

    status, _, _ = watched.post("/predict")

    assert status == "200 OK"
    assert watched.n_by_flask == 1


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_hook_that_reads_the_body_leaves_it_for_the_view(watched: Watched, is_kept: bool) -> None:
    """Logging what comes in is usual; Flask keeps the body for the view unless told not to."""
    seen: list[bytes] = []

    @watched.app.before_request
    def look() -> None:
        seen.append(request.get_data(cache=is_kept))

    status, _, _ = watched.post("/predict")

    assert seen == [BODY]
    assert status == ("200 OK" if is_kept else "400 BAD REQUEST")


def test_a_hook_that_is_added_changes_the_answers(watched: Watched) -> None:
    """Not only seen: obeyed."""

    @watched.app.before_request
    def refuse() -> tuple[str, int] | None:
        return ("not today", 403) if request.path == "/predict" else None

    assert watched.post("/predict")[0] == "403 FORBIDDEN"


def test_a_route_that_somebody_adds_for_one_model_is_theirs(watched: Watched) -> None:
    """Flask's routing decides which view gets a path, also when the fast path asks."""
    _add_route(watched.app)

    assert watched.post("/models/m/predict")[2] == b"mine"
    assert watched.post("/models/m/device-1/predict")[0] == "200 OK"
    assert watched.n_by_flask == 1


@pytest.mark.parametrize(
    "signal",
    [flask.request_started, flask.request_finished, flask.appcontext_pushed],
    ids=lambda signal: str(signal.name),
)
def test_it_gives_way_as_long_as_a_signal_has_receivers(watched: Watched, signal: Any) -> None:
    """Receivers may come and go at any time, unlike hooks."""
    watched.post("/predict")
    heard = []

    with signal.connected_to(lambda *_, **__: heard.append(1), watched.app):
        watched.post("/predict")
    watched.post("/predict")

    assert heard == [1]
    assert watched.n_by_flask == 1


def test_a_hook_after_the_first_answer_is_refused_as_flask_always_does(watched: Watched) -> None:
    """Silently ignoring it would be worse; Flask's own rule holds although Flask saw no request."""
    watched.post("/predict")

    with pytest.raises(AssertionError, match="can no longer be called"):
        watched.app.before_request(lambda: None)


def test_another_limit_for_bodies_is_obeyed(watched: Watched) -> None:
    """Flask's own setting, changed by whoever embeds the application."""
    watched.app.config["MAX_CONTENT_LENGTH"] = 10

    assert watched.post("/predict")[0].startswith("413")


def test_middleware_that_somebody_puts_around_sees_every_request(watched: Watched) -> None:
    """`app.wsgi_app = Mine(app.wsgi_app)` is Flask's own way, and ours."""
    inner, seen = watched.app.wsgi_app, []

    def mine(environ: Any, start_response: Any) -> Any:
        seen.append(environ["PATH_INFO"])
        return inner(environ, start_response)

    watched.app.wsgi_app = mine  # type: ignore[method-assign]
    answer = watched.app.test_client().post("/predict", data=BODY)

    assert answer.status_code == 200
    assert seen == ["/predict"]
    assert watched.n_by_flask == 0


@pytest.mark.parametrize(
    ("role", "as_bearer", "status", "n_by_flask"),
    [
        (Role.PREDICT, True, "200 OK", 0),
        (Role.PREDICT, False, "200 OK", 0),
        (Role.ADMIN, True, "200 OK", 0),
        (Role.FEED, True, "403 FORBIDDEN", 1),
        (None, True, "401 UNAUTHORIZED", 1),
    ],
)
def test_away_from_loopback_a_key_of_the_role_is_needed(
    home: ServingHome, role: Role | None, as_bearer: bool, status: str, n_by_flask: int
) -> None:
    """The same rule on both ways, and a refusal in Flask's words."""
    home.publish("m", 7)
    ensure_api_keys(home.path / "keys")
    serving = Serving(home, serving_config(home.path, host="0.0.0.0"))
    serving.tick()
    watched = Watched(serving)
    key = (serving.config.keys_dir / f"{role}.key").read_text().strip() if role else "wrong"
    name, value = ("AUTHORIZATION", f"bearer {key}") if as_bearer else ("X_API_KEY", key)
    more: dict[str, Any] = {f"HTTP_{name}": value, "HTTP_HOST": "any.example.com"}

    found = watched.post("/predict", **more)

    assert found[0] == status
    assert watched.n_by_flask == n_by_flask


def test_paths_and_hosts_that_clients_make_up_are_not_remembered(watched: Watched) -> None:
    """Memory must not grow with what strangers send."""
    fast = watched.app.wsgi_app
    assert isinstance(fast, FastPath)

    for i in range(1100):
        watched.post(f"/models/none-{i}/predict", HTTP_HOST=f"10.0.{i // 250}.{i % 250}")
        watched.post("/predict", HTTP_HOST=f"10.0.{i // 250}.{i % 250}")

    assert set(fast._slots) == {"/predict"}
    assert len(fast._origins._cached) == 1000
