"""The fast way for plain rows says exactly what the ordinary way says."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from api_service.context import Context, ask
from api_service.predict.row_predictor import RowPredictor
from api_service.serving_slot import ServingSlot, ServingTable
from api_service.web.auth import KeyRing
from api_service.web.json_body import object_of, value_of
from shared.errors import AnswerClient, RequestInvalid
from shared.loading.open_version import LoadedModel, Timings
from shared.versions.manifest import Holdout, Manifest, Promotion, ServingForm, Watermark
from shared.versions.model_store import ModelStore
from shared.workloads.contract import Answerer
from shared.workloads.rows import FeatureSpec, RowContract, RowRefused
from tests.api_service.conftest import serving_config

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HOME = Path("nowhere")
CONTEXT = Context(
    serving_config(HOME), ServingTable(), ModelStore(HOME), KeyRing(HOME), lambda: NOW
)
FEATURES = (
    FeatureSpec("size", "float64", "m2"),
    FeatureSpec("lüfter an", "bool", "none"),
    FeatureSpec("class", "category", "none"),
    FeatureSpec("n-rooms", "int64", "rooms"),
)
CODES = {"class": {"a": 0.0, "b": 1.0, "é\n": 2.0}}


class Sums(Answerer):
    """Weighs the columns; NaN, infinity and -0 come out when they go in."""

    rows = RowContract(FEATURES, CODES)
    row_facts = MappingProxyType({"unit": "EUR", "nothing": None})

    def __init__(self, outputs: tuple[str, ...] = ("predictions", "each")) -> None:
        self._outputs = outputs

    @property
    def questions(self) -> Mapping[str, str]:
        return {"predict": "a sum"}

    def answer(self, question: str, request: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        return self.answer_rows(request.get("instances"))

    def predict_rows(self, matrix: NDArray[np.float64]) -> Mapping[str, NDArray[Any]]:
        if (matrix[:, 0] == 13).any():
            raise RowRefused(int(np.argmax(matrix[:, 0] == 13)), 0, "a luckier number")
        if (matrix[:, 0] == 14).any():
            raise ZeroDivisionError
        with np.errstate(over="ignore", invalid="ignore"):
            matrix *= 1.5
            sums = matrix @ np.array([0.1, 1e300, -3.0, 0.7])
        return dict(zip(self._outputs, (sums, matrix), strict=False))


def live(answerer: Answerer | None = None) -> LoadedModel:
    manifest = Manifest(
        model="m",
        version="v000007-20261101T150000Z",
        run_id="r",
        workload="none",
        parameters={},
        features=list(FEATURES),
        metrics={},
        metric_unit="none",
        holdout=Holdout("2026-10-01", "2026-10-31", 31, 31),
        watermark=Watermark(NOW, "2026-10-31", 100, 100, "none"),
        libraries={},
        serving_form=ServingForm("numpy"),
        golden_tolerance=1e-6,
        promotion=Promotion(0, "a test wants it"),
        trained_at=NOW,
        files={},
    )
    return LoadedModel(manifest, answerer or Sums(), Timings(0, 0, 0, 0), 3)


def ordinary(version: LoadedModel, body: bytes) -> bytes | None:
    """The answer that the ordinary way gives; None where it refuses or fails."""
    slot = ServingSlot("m")
    slot.swap(version)
    try:
        return msgspec.json.encode(ask(CONTEXT, slot, "predict", object_of(value_of(body)))) + b"\n"
    except (AnswerClient, ZeroDivisionError):
        return None


numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(),
    st.integers(-(10**320), 10**320),
    st.sampled_from([13, 13.0, 14, -0.0, 2**53 + 1, 1e308]),
    st.booleans(),
    st.none(),
)
texts = st.one_of(st.sampled_from(["a", "b", "é\n", "A"]), st.text(max_size=3), st.none())
rows = st.fixed_dictionaries(
    {"size": numbers, "lüfter an": numbers, "class": texts, "n-rooms": numbers}
)
anything = st.recursive(
    st.one_of(numbers, texts),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
odd_rows = st.one_of(
    anything,
    st.dictionaries(
        st.sampled_from([*(spec.name for spec in FEATURES), "more"]), anything, max_size=5
    ),
)
bodies = st.one_of(
    st.fixed_dictionaries({"instances": st.lists(rows, min_size=1, max_size=5)}),
    st.fixed_dictionaries(
        {"instances": st.lists(st.one_of(rows, odd_rows), max_size=3)},
        optional={"more": anything},
    ),
    anything,
)


@settings(max_examples=400, deadline=None)
@given(bodies, st.booleans())
def test_what_is_answered_fast_is_byte_for_byte_what_is_answered_slowly(
    body: Any, is_spaced: bool
) -> None:
    """A client must not be able to tell which way its answer came."""
    content = (
        json.dumps(body, indent=1).encode()
        if is_spaced
        else json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
    )
    version = live()
    plain = RowPredictor.of(version)
    assert plain is not None

    fast, slow = plain.answer(content), ordinary(version, content)

    # Fast may leave a request to slow; it must never say something else, or answer the wrong.
    assert fast is None or fast == slow


ROW = b'{"size":1.5,"l\xc3\xbcfter an":1,"class":"a","n-rooms":3}'


def body_of(*found: bytes) -> bytes:
    return b'{"instances":[' + b",".join(found) + b"]}"


@pytest.mark.parametrize(
    "content",
    [
        body_of(ROW),
        body_of(*[ROW] * 100),
        body_of(ROW.replace(b"1.5", b"null"), ROW),
        body_of(ROW.replace(b"1.5", b"null")),
        body_of(ROW.replace(b'"a"', b"null")),
        body_of(ROW.replace(b'"a"', b'"never seen"')),
        body_of(ROW.replace(b"1.5", b"-0.0")),
        body_of(ROW.replace(b'"size"', b'"si\\u007ae"')),  # an escaped z
        body_of(ROW.replace(b"{", b'{"size":7,')),  # twice: the last one counts
        body_of(ROW.replace(b"1.5", b"1e308").replace(b":1,", b":1e308,")),  # infinity: null
        b" \n" + body_of(ROW) + b"\t",
    ],
)
def test_usual_requests_are_answered_the_fast_way(content: bytes) -> None:
    """Without this, leaving everything to the ordinary way would pass every other test."""
    version = live()
    plain = RowPredictor.of(version)
    assert plain is not None

    answer = plain.answer(content)

    assert answer is not None
    assert answer == ordinary(version, content)
    assert msgspec.json.decode(answer)["generation"] == 3


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"instances":[]}',
        body_of(ROW) + b"x",
        body_of(ROW.replace(b"1.5", b"NaN")),
        body_of(ROW.replace(b"1.5", b'"1.5"')),
        body_of(ROW.replace(b"1.5", b"true")),
        body_of(ROW.replace(b"1.5", b"1" * 400)),
        body_of(ROW.replace(b'"a"', b"1")),
        body_of(ROW.replace(b"1.5", b"13")),
        body_of(ROW.replace(b"1.5", b"14")),
        body_of(ROW.replace(b'"size":1.5,', b"")),
        body_of(ROW.replace(b"{", b'{"more":1,')),
        body_of(ROW)[:-1] + b',"more":1}',
        b'{"instances":' + b"[" * 9000,
        body_of(ROW.replace(b'"a"', b'"\xff"')),
    ],
)
def test_what_is_unusual_is_left_to_the_ordinary_way(content: bytes) -> None:
    """One place words errors and counts failures."""
    plain = RowPredictor.of(live())
    assert plain is not None

    assert plain.answer(content) is None


def test_names_that_no_generated_type_can_have_are_left_to_the_ordinary_way() -> None:
    """A column may be called anything in somebody's database."""

    class Odd(Sums):
        rows = RowContract((FeatureSpec('a "quoted" \\ name', "float64", "none"),))

        def predict_rows(self, matrix: NDArray[np.float64]) -> Mapping[str, NDArray[Any]]:
            return {"predictions": matrix[:, 0]}

    version = live(Odd())
    content = msgspec.json.encode({"instances": [{'a "quoted" \\ name': 2.5}]})
    plain = RowPredictor.of(version)

    assert plain is None or plain.answer(content) == ordinary(version, content)
    assert b'"predictions":[2.5]' in (ordinary(version, content) or b"")


@pytest.mark.parametrize("outputs", [("predictions", "model"), ("predictions", "unit"), ()])
def test_outputs_named_like_something_else_in_the_answer_are_left_to_the_ordinary_way(
    outputs: tuple[str, ...],
) -> None:
    """Joining two halves of an object would name a field twice."""
    plain = RowPredictor.of(live(Sums(outputs)))
    assert plain is not None

    assert plain.answer(body_of(ROW)) is None


def test_a_version_makes_its_fast_way_once() -> None:
    """Requests must not pay for what belongs to the version."""
    version = live()

    assert RowPredictor.of(version) is RowPredictor.of(version)
    assert RowPredictor.of(live()) is not RowPredictor.of(version)


def test_a_version_that_takes_no_plain_rows_has_no_fast_way() -> None:
    """A catalogue answers questions, not rows."""

    class Catalogue(Sums):
        rows = None  # type: ignore[assignment]

    assert RowPredictor.of(live(Catalogue())) is None


def test_a_whole_number_beyond_floating_point_is_refused_and_no_defect() -> None:
    """JSON has whole numbers of any length; one that is too long is the client's mistake."""
    version = live()
    slot = ServingSlot("m")
    slot.swap(version)
    request = {"instances": [{"size": 10**400, "lüfter an": 1, "class": "a", "n-rooms": 3}]}

    with pytest.raises(RequestInvalid, match=r"instances\[0\].size"):
        ask(CONTEXT, slot, "predict", request)


def test_nulls_and_unknown_categories_reach_the_model_as_the_contract_says() -> None:
    """NaN for null, the code of the unknown for a text that was never seen."""
    seen = []

    class Watching(Sums):
        def predict_rows(self, matrix: NDArray[np.float64]) -> Mapping[str, NDArray[Any]]:
            seen.append(matrix.copy())
            return super().predict_rows(matrix)

    plain = RowPredictor.of(live(Watching()))
    assert plain is not None
    odd = ROW.replace(b"1.5", b"null").replace(b'"a"', b'"z"')
    none = ROW.replace(b'"a"', b"null")

    plain.answer(body_of(odd))
    plain.answer(body_of(ROW, odd, none))

    assert [list(map(str, row)) for row in seen[0]] == [["nan", "1.0", "-1.0", "3.0"]]
    assert math.isnan(seen[1][2, 2])
    assert list(seen[1][0]) == [1.5, 1.0, 0.0, 3.0]
    assert seen[1].flags.c_contiguous
