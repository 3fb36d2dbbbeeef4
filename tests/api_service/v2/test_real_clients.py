"""The clients that people have: Triton's, KServe's and the protocol's own, on a real process."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from open_inference.openapi.client import OpenInferenceClient
from open_inference.openapi.errors.bad_request_error import BadRequestError
from open_inference.openapi.errors.not_found_error import NotFoundError
from open_inference.openapi.types.inference_request import InferenceRequest
from tritonclient.utils import InferenceServerException

from tests.api_service.v2.conftest import DATATYPES, columns
from tests.support.api_process import ApiHome
from tests.support.kserve_client import import_kserve_client
from tests.support.mixed_versions import ROWS
from tests.support.pages import ROOT, text_of
from tests.support.versions import version_name
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

_DTYPES: dict[str, Any] = {"FP64": np.float64, "INT64": np.int64, "BOOL": np.bool_}


@pytest.fixture(scope="module")
def own(running: ApiHome) -> Any:
    """What POST /predict answers: every client must get the same."""
    status, answer = running.ask("POST", "/models/mixed/predict", {"instances": ROWS})
    assert status == 200
    return answer


def arrays() -> dict[str, Any]:
    found: dict[str, Any] = {
        name: np.array([row[name] for row in ROWS], _DTYPES[of])
        for name, of in DATATYPES.items()
        if of in _DTYPES
    }
    colours = np.empty(len(ROWS), object)
    colours[:] = [row["colour"].encode() for row in ROWS]
    return {**found, "colour": colours}


# -- Triton ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client(running: ApiHome) -> Iterator[Any]:
    with triton.InferenceServerClient(f"127.0.0.1:{running.port}") as client:
        yield client


def triton_inputs(*, is_binary: bool) -> list[Any]:
    inputs = []
    for name, values in arrays().items():
        one = triton.InferInput(name, values.shape, DATATYPES[name])
        one.set_data_from_numpy(values, binary_data=is_binary)
        inputs.append(one)
    return inputs


@pytest.mark.parametrize("sends_binary", [True, False], ids=["binary in", "json in"])
@pytest.mark.parametrize("gets_binary", [True, False, None], ids=["binary", "json", "default"])
def test_triton_infers_what_our_own_route_predicts(
    client: Any, own: Any, sends_binary: bool, gets_binary: bool | None
) -> None:
    """Binary both ways by default, and without a content type."""
    names = ["predictions", "probabilities", "label", "is_warm", "n_hours"]
    wanted = (
        None
        if gets_binary is None
        else [triton.InferRequestedOutput(name, binary_data=gets_binary) for name in names]
    )

    answer = client.infer(
        "mixed", triton_inputs(is_binary=sends_binary), outputs=wanted, request_id="r-1"
    )

    head = answer.get_response()
    assert (head["id"], head["model_version"]) == ("r-1", own["version"])
    for name in ("predictions", "probabilities", "is_warm", "n_hours"):
        assert answer.as_numpy(name).tolist() == own[name]
    labels = answer.as_numpy("label").tolist()
    assert [one.decode() if isinstance(one, bytes) else one for one in labels] == own["label"]


def test_triton_asks_for_one_output_with_a_version_and_compressed(client: Any, own: Any) -> None:
    """What is not asked for is not sent."""
    answer = client.infer(
        "mixed",
        triton_inputs(is_binary=True),
        model_version=own["version"],
        outputs=[triton.InferRequestedOutput("n_hours", binary_data=True)],
        request_compression_algorithm="gzip",
        response_compression_algorithm="gzip",
    )

    assert [one["name"] for one in answer.get_response()["outputs"]] == ["n_hours"]
    assert answer.as_numpy("n_hours").dtype == np.int32


def test_triton_sends_a_whole_array(client: Any) -> None:
    """A model of numbers takes its rows as they are."""
    rows = triton.InferInput("rows", [4, 1], "FP32")
    rows.set_data_from_numpy(np.ones((4, 1), np.float32))

    assert client.infer("m", [rows]).as_numpy("predictions").tolist() == [7] * 4


def test_triton_reads_health_and_metadata(client: Any) -> None:
    """Its command-line tools start with these."""
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("mixed")
    assert client.is_model_ready("mixed", version_name(1))
    assert not client.is_model_ready("none")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    assert client.get_model_metadata("mixed")["versions"] == [version_name(1)]


def test_triton_is_told_what_is_wrong(client: Any) -> None:
    """The sentence of the server, not one of the client's own."""
    with pytest.raises(InferenceServerException, match="one tensor for each of") as raised:
        client.infer("mixed", triton_inputs(is_binary=True)[1:])

    assert raised.value.status() == "400"


def test_triton_reads_the_statistics_of_all_protocols(
    client: Any, running: ApiHome, own: Any
) -> None:
    """One count of inferences, whichever route they came by."""

    def line() -> Any:
        found = client.get_inference_statistics("mixed", version_name(1))["model_stats"]
        return found[0] if found else None

    wait_until(lambda: line() is not None, 10, "the first count")
    before = line()
    client.infer("mixed", triton_inputs(is_binary=True))
    running.ask("POST", "/models/mixed/predict", {"instances": ROWS})
    running.ask("POST", "/v2/models/mixed/infer", {"inputs": columns()[1:]})
    after = line()

    assert after["inference_count"] - before["inference_count"] == 2 * len(ROWS)
    assert after["execution_count"] - before["execution_count"] == 2
    good, bad = after["inference_stats"]["success"], after["inference_stats"]["fail"]
    assert good["count"] == after["execution_count"]
    assert good["ns"] > before["inference_stats"]["success"]["ns"]
    assert bad["count"] - before["inference_stats"]["fail"]["count"] == 1
    everything = client.get_inference_statistics()["model_stats"]
    assert {one["name"] for one in everything} >= {"mixed"}


def test_triton_reads_the_repository_and_loads(client: Any, admin_key: dict[str, str]) -> None:
    """Load is done when the wanted version serves; unload is refused with the reason."""
    index = client.get_model_repository_index()
    states = {(one["name"], one["state"]) for one in index}

    assert states == {(name, "READY") for name in ("m", "mixed", "mixed/shop-1", "spare_parts")}
    client.load_model("mixed", headers=admin_key)
    with pytest.raises(InferenceServerException, match="needs a key with the role admin"):
        client.load_model("mixed")
    with pytest.raises(InferenceServerException, match="its reload signal wants") as raised:
        client.unload_model("mixed", headers=admin_key)
    assert raised.value.status() == "409"


def test_the_documented_example_works_as_written(
    running: ApiHome, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is what somebody copies first."""
    page = text_of(ROOT / "docs" / "v2-protocol.md")
    example = re.search(r"```python\n(.+?)```", page, re.DOTALL)
    assert example is not None

    exec(example[1].replace("127.0.0.1:5000", f"127.0.0.1:{running.port}"), {})

    own = running.get("/models/spare_parts")[1]
    assert own["version"] in capsys.readouterr().out


# -- KServe ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_binary", [True, False], ids=["binary", "json"])
def test_kserve_infers_what_our_own_route_predicts(
    running: ApiHome, own: Any, is_binary: bool
) -> None:
    """Its client reads `live` and `ready`, and answers in binary and in JSON."""
    module, messages = import_kserve_client()
    inputs = []
    for name, values in arrays().items():
        one = messages.InferInput(name, list(values.shape), DATATYPES[name])
        one.set_data_from_numpy(values, binary_data=is_binary)
        inputs.append(one)
    asked = messages.InferRequest(
        model_name="mixed",
        infer_inputs=inputs,
        request_id="k-1",
        parameters={"binary_data_output": is_binary},
    )
    url = f"http://127.0.0.1:{running.port}"

    async def ask() -> tuple[Any, ...]:
        config = module.RESTConfig(protocol="v2")
        async with module.InferenceRESTClient(config) as client:
            return (
                await client.is_server_live(url),
                await client.is_server_ready(url),
                await client.is_model_ready(url, "mixed"),
                await client.is_model_ready(url, "none"),
                await client.infer(url, asked, model_name="mixed"),
            )

    *health, answer = asyncio.run(ask())

    assert health == [True, True, True, False]
    # This client drops the version of an answer.
    assert (answer.id, answer.model_name) == ("k-1", "mixed")
    found = {one.name: one for one in answer.outputs}
    for name in ("predictions", "probabilities", "n_hours", "is_warm"):
        assert found[name].as_numpy().tolist() == own[name]
    labels = [one.decode() if isinstance(one, bytes) else one for one in found["label"].data]
    assert labels == own["label"]


# -- the protocol's own ----------------------------------------------------------------------------


def test_the_protocols_own_client_reads_every_answer(running: ApiHome, own: Any) -> None:
    """It is generated from the protocol's document: what it parses conforms."""
    client = OpenInferenceClient(base_url=f"http://127.0.0.1:{running.port}")
    asked = InferenceRequest.parse_obj({"id": "o-1", "inputs": columns()})

    client.check_server_liveness()
    client.check_server_readiness()
    client.check_model_readiness("mixed")
    client.check_model_version_readiness("mixed", own["version"])
    assert client.read_server_metadata().name == "hotfit"
    metadata = client.read_model_version_metadata("mixed", own["version"])
    plain = client.model_infer("mixed", request=asked)
    versioned = client.model_version_infer("mixed", own["version"], request=asked)

    assert metadata == client.read_model_metadata("mixed")
    assert [one.name for one in metadata.inputs or []] == list(DATATYPES)
    assert (plain.id, plain.model_version) == ("o-1", own["version"])
    assert plain == versioned
    found = {one.name: one.data.dict()["__root__"] for one in plain.outputs}
    assert found["predictions"] == own["predictions"]
    assert found["label"] == own["label"]
    with pytest.raises(NotFoundError):
        client.check_model_readiness("none")
    with pytest.raises(BadRequestError):
        client.model_infer("mixed", request=InferenceRequest.parse_obj({"inputs": []}))
