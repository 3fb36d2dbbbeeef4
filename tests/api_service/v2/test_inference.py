"""The Open Inference Protocol as it is written down: messages in, messages out, errors."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from shared.workloads.product_similarity.workload import ProductSimilarity
from tests.api_service.conftest import Serving
from tests.api_service.v2.conftest import DATATYPES, columns
from tests.shared.workloads.shop import products, rows_of
from tests.support.mixed_versions import ROWS
from tests.support.product_versions import publish_products
from tests.support.versions import ServingHome, version_name

INFER = "/v2/models/mixed/infer"


def with_binary(message: dict[str, Any], *parts: bytes) -> dict[str, Any]:
    """A request with binary tensors after the JSON, as keyword arguments of the test client."""
    head = json.dumps(message).encode()
    return {
        "data": head + b"".join(parts),
        "headers": {"Inference-Header-Content-Length": str(len(head))},
    }


def text_bytes(*texts: str) -> bytes:
    return b"".join(struct.pack("<I", len(one.encode())) + one.encode() for one in texts)


def outputs(answer: TestResponse) -> dict[str, Any]:
    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert answer.json is not None
    return {one["name"]: one for one in answer.json["outputs"]}


def predicted(client: FlaskClient, rows: list[dict[str, Any]] = ROWS) -> Any:
    """What our own route answers: every protocol must answer the same."""
    return client.post("/models/mixed/predict", json={"instances": rows}).json


# -- infer -------------------------------------------------------------------------------------


def test_a_json_request_is_answered_as_our_own_route_answers(client: FlaskClient) -> None:
    """One contract for rows, whatever the protocol."""
    own = predicted(client)

    answer = client.post(INFER, json={"id": "42", "inputs": columns()})

    found = outputs(answer)
    body: Any = answer.json
    assert (body["model_name"], body["model_version"], body["id"]) == (
        "mixed",
        own["version"],
        "42",
    )
    assert body["parameters"] == {
        "unit": "litres",
        **{name: own[name] for name in ("generation", "trained_at", "fitted_until", "watermark")},
    }
    assert list(found) == ["predictions", "probabilities", "label", "is_warm", "n_hours"]
    assert found["predictions"]["data"] == own["predictions"]
    assert found["label"]["data"] == own["label"]
    assert found["probabilities"]["shape"] == [3, 2]
    assert found["probabilities"]["data"] == [x for row in own["probabilities"] for x in row]
    kinds = {name: one["datatype"] for name, one in found.items()}
    assert kinds == {
        "predictions": "FP64",
        "probabilities": "FP64",
        "label": "BYTES",
        "is_warm": "BOOL",
        "n_hours": "INT32",
    }


def test_shapes_may_be_columns_and_data_may_be_nested(client: FlaskClient) -> None:
    """[n] and [n, 1] mean the same; some clients send one, some the other."""
    wide = [
        {**one, "shape": [3, 1], "data": [[value] for value in one["data"]]} for one in columns()
    ]

    found = outputs(client.post(INFER, json={"inputs": wide}))

    assert found["predictions"]["data"] == predicted(client)["predictions"]


NUMERIC = ["INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"]


@pytest.mark.parametrize("datatype", [*NUMERIC, "FP16", "FP32", "FP64", "BF16", "BOOL"])
@pytest.mark.parametrize("is_binary", [False, True], ids=["json", "binary"])
def test_every_datatype_is_read(client: FlaskClient, datatype: str, is_binary: bool) -> None:
    """A client chooses the width; the value is what counts."""
    values = [1, 0, 1] if datatype == "BOOL" else [3, 0, 100]
    rows = [{**row, "hour": 12, "temperature": v} for row, v in zip(ROWS, values, strict=True)]
    message = {"inputs": columns()}
    message["inputs"][1]["data"] = [12, 12, 12]
    temperature: dict[str, Any] = {"name": "temperature", "shape": [3], "datatype": datatype}
    message["inputs"][0] = temperature
    if not is_binary:
        temperature["data"] = [bool(v) for v in values] if datatype == "BOOL" else values
        request: dict[str, Any] = {"json": message}
    else:
        if datatype == "BF16":
            content = (np.array(values, "<f4").view("<u4") >> 16).astype("<u2").tobytes()
        else:
            dtype = {"BOOL": "?", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}.get(datatype)
            content = np.array(values, dtype or datatype.lower()).tobytes()
        temperature["parameters"] = {"binary_data_size": len(content)}
        request = with_binary(message, content)

    found = outputs(client.post(INFER, **request))

    assert found["predictions"]["data"] == predicted(client, rows)["predictions"]


def test_all_tensors_may_be_binary_and_so_may_the_answer(client: FlaskClient) -> None:
    """Clients send it by default, and without a content type."""
    own = predicted(client)
    parts = {
        "temperature": np.array([row["temperature"] for row in ROWS], "<f8").tobytes(),
        "hour": np.array([row["hour"] for row in ROWS], "<i8").tobytes(),
        "is_open": np.array([row["is_open"] for row in ROWS], "?").tobytes(),
        "colour": text_bytes(*(row["colour"] for row in ROWS)),
    }
    message = {
        "parameters": {"binary_data_output": True},
        "inputs": [
            {
                "name": name,
                "shape": [3],
                "datatype": DATATYPES[name],
                "parameters": {"binary_data_size": len(part)},
            }
            for name, part in parts.items()
        ],
    }

    answer = client.post(INFER, **with_binary(message, *parts.values()))

    n_json = int(answer.headers["Inference-Header-Content-Length"])
    content = answer.get_data()
    head = json.loads(content[:n_json])
    sizes = [one["parameters"]["binary_data_size"] for one in head["outputs"]]
    assert answer.content_type == "application/octet-stream"
    assert len(content) == n_json + sum(sizes)
    assert all("data" not in one for one in head["outputs"])
    first = content[n_json : n_json + sizes[0]]
    assert np.frombuffer(first, "<f8").tolist() == own["predictions"]
    labels = content[n_json + sum(sizes[:2]) : n_json + sum(sizes[:3])]
    assert labels == text_bytes("warm", "kühl", "kühl")


def test_outputs_are_given_as_each_was_asked_for(client: FlaskClient) -> None:
    """One in binary, one in JSON, in the order of the request, and no other."""
    wanted = [
        {"name": "n_hours", "parameters": {"binary_data": True}},
        {"name": "label", "parameters": {"binary_data": False}},
    ]
    asked = {
        "inputs": columns(),
        "outputs": wanted,
        "parameters": {"binary_data_output": True},
    }

    answer = client.post(INFER, json=asked)

    n_json = int(answer.headers["Inference-Header-Content-Length"])
    head = json.loads(answer.get_data()[:n_json])
    assert [one["name"] for one in head["outputs"]] == ["n_hours", "label"]
    assert head["outputs"][1]["data"] == ["warm", "kühl", "kühl"]
    assert np.frombuffer(answer.get_data()[n_json:], "<i4").tolist() == [7, 23, 0]


def test_one_tensor_may_hold_all_columns(home: ServingHome, client: FlaskClient) -> None:
    """How a client sends what is an array already; under any name."""
    for shape, datatype, data in (([2, 1], "FP32", [1.5, 2.5]), ([1, 1], "INT8", [[3]])):
        tensor = {"name": "input-0", "shape": shape, "datatype": datatype, "data": data}

        found = outputs(client.post("/v2/models/m/infer", json={"inputs": [tensor]}))

        assert found["predictions"]["data"] == [7] * shape[0]


def test_null_is_a_missing_value(client: FlaskClient) -> None:
    """JSON has no NaN; a missing colour is not an unknown one."""
    asked = columns()
    asked[1] = {**asked[1], "datatype": "FP64", "data": [None, 1, 2]}
    asked[3]["data"][0] = None
    rows = [{**row, "hour": hour} for row, hour in zip(ROWS, [None, 1, 2], strict=True)]
    rows[0]["colour"] = None

    found = outputs(client.post(INFER, json={"inputs": asked}))

    assert found["predictions"]["data"] == predicted(client, rows)["predictions"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_compressed_request_is_unpacked(client: FlaskClient, encoding: str) -> None:
    """The clients offer it; what comes out counts against the limit on bodies."""
    pack = gzip.compress if encoding == "gzip" else zlib.compress
    content = pack(json.dumps({"inputs": columns()}).encode())
    headers = {"Content-Encoding": encoding}

    found = outputs(client.post(INFER, data=content, headers=headers))
    bomb = client.post(INFER, data=pack(b" " * 1_000_000), headers=headers)
    broken = client.post(INFER, data=content[:-9], headers=headers)
    marked = client.post(
        INFER, data=pack(b"\xef\xbb\xbf" + zlib.decompress(content, 47)), headers=headers
    )

    assert found["label"]["data"] == ["warm", "kühl", "kühl"]
    assert (bomb.status_code, broken.status_code) == (413, 400)
    assert marked.json == client.post(INFER, data=content, headers=headers).json


def test_a_model_without_plain_rows_is_asked_in_json(home: ServingHome, serving: Serving) -> None:
    """Recommendations and forecasts are not rows; their requests travel as they are."""
    rows = rows_of(ProductSimilarity({}), products()[:30])
    publish_products(home, "shop", "product_similarity", 1, rows)
    serving.tick()
    client = serving.client()
    metadata: Any = client.get("/v2/models/shop").json
    known = client.get("/recommendations/product/p003?n=2&model=shop").json
    assert known is not None

    texts = [json.dumps({"product_id": "p003", "n": 2}), json.dumps({"product_id": "p004", "n": 1})]
    tensor = {"name": "request", "datatype": "BYTES", "shape": [2], "data": texts}
    asked = {"parameters": {"question": "similar"}, "inputs": [tensor]}
    found = outputs(client.post("/v2/models/shop/infer", json=asked))

    assert metadata["inputs"] == [{"name": "request", "datatype": "BYTES", "shape": [-1]}]
    assert metadata["outputs"] == [{"name": "answer", "datatype": "BYTES", "shape": [-1]}]
    first = json.loads(found["answer"]["data"][0])
    assert first.items() <= known.items()
    assert len(first["recommendations"]) == 2


# -- what is refused ---------------------------------------------------------------------------


def changed(place: int, **fields: Any) -> dict[str, Any]:
    inputs = columns()
    inputs[place] = {**inputs[place], **fields}
    return {"inputs": inputs}


@pytest.mark.parametrize(
    ("asked", "saying"),
    [
        ({}, "inputs"),
        ({"inputs": []}, "one tensor for each of ['temperature', 'hour', 'is_open', 'colour']"),
        ({"inputs": columns()[1:]}, "missing': ['temperature']"),
        ({"inputs": [*columns(), columns()[0]]}, "one tensor for each"),
        (changed(0, name="heat"), "'unexpected': ['heat']"),
        (changed(0, datatype="FP8"), "BOOL, INT8"),
        (changed(0, data=["1.5", 1, 2]), "inputs[0].data[0]: expected float | null, found 'str'"),
        (changed(0, data=[1.5, 2]), "3 elements, as the shape says"),
        (changed(0, data=[[1], [2], [3]]), "inputs[0].data[0]"),
        (changed(0, shape=[3, 1], data=[[1], [2, 3]]), "flat or nested as [3, 1]"),
        (changed(0, shape=[3, 2], data=[1] * 6), "[3] or [3, 1]"),
        (changed(0, shape=[-3]), "numbers from 0 on"),
        (changed(0, shape=[]), "1 to 8 numbers"),
        (changed(0, shape=[10**12], data=[1]), "1000000000000 elements"),
        (changed(0, data=[1, None, 2]), "row 1: expected a finite number"),
        (changed(1, datatype="UINT8", data=[1, 2, 256]), "whole numbers from 0 to 255"),
        (changed(1, data=[1, 2.5, 3]), "whole numbers from"),
        (changed(1, data=[1, 2**70, 3]), "whole numbers from"),
        (changed(2, data=[True, 2, False]), "true or false"),
        (changed(2, datatype="BYTES", data=["a", "b", "c"]), "a numeric datatype"),
        (changed(3, datatype="INT8", data=[1, 2, 3]), "texts (BYTES)"),
        (
            {"inputs": [{"name": "all", "shape": [1, 4], "datatype": "FP64", "data": [1] * 4}]},
            "['colour'] are texts",
        ),
        ({"inputs": columns(), "outputs": [{"name": "price"}]}, "predictions, probabilities"),
        (
            {
                "inputs": columns(),
                "outputs": [{"name": "label", "parameters": {"classification": 2}}],
            },
            "no classification",
        ),
        (
            {"inputs": [{**columns()[0], "data": None, "parameters": {"binary_data_size": 24}}]},
            "so many follow the JSON",
        ),
        ({"inputs": [{"name": "temperature", "shape": [1], "datatype": "FP64"}]}, "data, or"),
    ],
)
def test_a_wrong_request_is_refused_in_the_protocols_own_words(
    client: FlaskClient, asked: dict[str, Any], saying: str
) -> None:
    """`error` is the only field that clients of the protocol read."""
    answer = client.post(INFER, json=asked)

    assert answer.status_code == 400
    assert answer.content_type == "application/json"
    assert answer.json is not None
    assert list(answer.json) == ["error"]
    assert saying in answer.json["error"]


@pytest.mark.parametrize(
    ("data", "length", "saying"),
    [
        (b"", None, "JSON"),
        (b"{", None, "JSON"),
        (b'{"inputs": []}', "99", "1 to 14"),
        (b'{"inputs": []}', "x", "a number of bytes"),
        (b'{"inputs": []}', "0", "1 to 14"),
        (b'{"inputs": []}tail', "14", "0 bytes after the JSON"),
        (
            b'{"inputs": [{"name": "a", "shape": [2], "datatype": "BYTES",'
            b'"parameters": {"binary_data_size": 6}}]}\x09\0\0\0ab',
            "100",
            "4 bytes and so many",
        ),
    ],
)
def test_a_broken_body_is_refused(
    client: FlaskClient, data: bytes, length: str | None, saying: str
) -> None:
    """Cut off, or with a length that is not its own."""
    headers = {} if length is None else {"Inference-Header-Content-Length": length}

    answer = client.post(INFER, data=data, headers=headers)

    assert answer.status_code == 400
    assert saying in answer.get_data(as_text=True)


# -- metadata, health, versions -------------------------------------------------------------------


def test_metadata_says_what_goes_in_and_what_comes_out(client: FlaskClient) -> None:
    """A client builds its tensors from this; the outputs are the model's own."""
    answer: Any = client.get("/v2/models/mixed").json

    assert answer["name"] == "mixed"
    assert answer["versions"] == [version_name(1)]
    assert {one["name"]: one["datatype"] for one in answer["inputs"]} == DATATYPES
    assert answer["inputs"][0]["parameters"] == {"unit": "°C", "low": -20.0, "high": 40.0}
    assert {one["name"]: (one["datatype"], one["shape"]) for one in answer["outputs"]} == {
        "predictions": ("FP64", [-1]),
        "probabilities": ("FP64", [-1, 2]),
        "label": ("BYTES", [-1]),
        "is_warm": ("BOOL", [-1]),
        "n_hours": ("INT32", [-1]),
    }
    assert all(isinstance(value, str) for value in answer["properties"].values())
    server: Any = client.get("/v2").json
    assert server["extensions"] == ["binary_tensor_data", "model_repository", "statistics"]


def test_health_carries_live_and_ready(serving: Serving, home: ServingHome) -> None:
    """Clients read different keys; a balancer reads the status."""
    client = serving.client()
    serving.tick()
    assert client.get("/v2/health/live").json == {"live": True, "ready": False}
    not_ready = client.get("/v2/health/ready")
    model = client.get("/v2/models/m/ready")
    home.publish("m", 1)
    serving.tick()

    assert (not_ready.status_code, model.status_code) == (503, 503)
    assert not_ready.json is not None
    assert (not_ready.json["live"], not_ready.json["ready"]) == (True, False)
    assert client.get("/v2/health/ready").json == {"live": True, "ready": True}
    assert client.get("/v2/models/m/ready").status_code == 200
    assert client.get("/v2/models/none/ready").status_code == 404


def test_only_the_version_that_serves_infers(client: FlaskClient, serving: Serving) -> None:
    """A stored version is not open: the error says which one is."""
    serving.home.publish("m", 8)
    serving.tick()
    tensor = {"name": "x", "shape": [1], "datatype": "FP64", "data": [1]}

    def asked(version: str) -> TestResponse:
        path = f"/v2/models/m/versions/{version}/infer"
        return client.post(path, json={"inputs": [tensor]})

    assert outputs(asked(version_name(8)))["predictions"]["data"] == [8]
    old, unknown = asked(version_name(7)), asked(version_name(6))
    assert (old.status_code, unknown.status_code) == (409, 404)
    assert f"{version_name(8)} does" in old.get_data(as_text=True)
    assert client.get(f"/v2/models/m/versions/{version_name(7)}/ready").status_code == 503
    assert client.get(f"/v2/models/m/versions/{version_name(8)}").status_code == 200


@pytest.mark.parametrize("name", ["mixed/shop-1", "mixed%2Fshop-1"])
def test_a_model_of_an_entity_is_asked_under_its_whole_name(client: FlaskClient, name: str) -> None:
    """The slash is part of the name, encoded or not, with a version and without."""
    version = version_name(2)

    for path in (f"/v2/models/{name}/infer", f"/v2/models/{name}/versions/{version}/infer"):
        answer = client.post(path, json={"inputs": columns()})

        assert answer.json is not None
        assert (answer.json["model_name"], answer.json["model_version"]) == (
            "mixed/shop-1",
            version,
        )
    assert client.get(f"/v2/models/{name}").status_code == 200
    assert client.get(f"/v2/models/{name}/ready").status_code == 200
    assert client.get(f"/v2/models/{name}/stats").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/nothing", 404),
        ("GET", "/v2/models/none", 404),
        ("GET", "/v2/models/m/infer", 405),
        ("POST", "/v2/models/m", 405),
        ("POST", "/v2/models/none/infer", 404),
        ("POST", "/v2/repository/models/m/load", 401),
    ],
)
def test_every_error_below_v2_is_the_protocols(
    client: FlaskClient, method: str, path: str, status: int
) -> None:
    """Also those that no view raised: a client that finds no `error` reports its own."""
    answer = client.open(path, method=method, data=b"{}")

    assert answer.status_code == status
    assert answer.json is not None
    assert list(answer.json) == ["error"]


def test_a_defect_is_counted_and_told_without_its_insides(
    client: FlaskClient, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same promise as of our own routes."""
    live = serving.table.slot("mixed").require()
    broken = lambda _self, _matrix: ROWS[0]["not there"]  # noqa: E731
    monkeypatch.setattr(type(live.answerer), "predict_rows", broken)

    answer = client.post(INFER, json={"inputs": columns()})

    assert answer.status_code == 500
    assert "not there" not in answer.get_data(as_text=True)
    assert serving.table.slot("mixed").n_failed == 1
