"""Records become rows: what is learnt of each column, what is refused, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from shared.documents.field_specs import FieldSpec
from shared.errors import SettingsInvalid
from shared.mapping.conversion import conversion_of
from shared.settings.streams import FieldSettings
from shared.workloads.rows import UNKNOWN_CATEGORY
from shared.workloads.tabular.columns import Column
from shared.workloads.tabular.rows import N_BLOCKS, TrainingContext
from shared.workloads.tabular.workload import Tabular
from shared.workloads.training import TrainingSet
from tests.shared.workloads.tabular.flats import PARAMETERS, START, flats, table, tables


def read(documents: list[dict[str, Any]], **parameters: Any) -> TrainingSet:
    return Tabular({**PARAMETERS, **parameters}).training_set(tables(documents))


def column(rows: TrainingSet, name: str) -> Column:
    context: TrainingContext = rows.context
    return next(each for each in context.columns if each.name == name)


def with_column(values: list[Any]) -> list[dict[str, Any]]:
    """Flats with one more column, `x`, of these values again and again."""
    return [{**flat, "x": values[i % len(values)]} for i, flat in enumerate(flats(60))]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2, None], "int64"),
        ([1, 2.5], "float64"),
        ([1.0, 2.0], "float64"),
        ([True, False, None], "bool"),
        ([True, 7], "int64"),
        (["1", "2", ""], "int64"),
        (["1.5", 2], "float64"),
        (["red", "blue", None], "category"),
        (["red", 1], "category"),
        (["01234", "00017"], "category"),
        (["red", 1, 2, 3], "int64"),
        (["62,5", "48,25", "70"], "float64"),
        (["62,5 m²", "1 1/2", "n/a", "-"], "float64"),
        (["1.299,50 €", "12,00 €"], "float64"),
        (["75 %", "80%"], "float64"),
        (["12A", "12B", "14A"], "category"),
        (["red", "unknown", "n/a"], "category"),
        (["Yes", "No", ""], "category"),
        ([f"order {i}" for i in range(60)], "text"),
        ([f"the room is cold, {i} again" for i in range(20)], "text"),
        ([f"shop {i}" for i in range(20)], "category"),
    ],
)
def test_the_type_of_a_column_is_that_of_most_of_its_values(values: list[Any], dtype: str) -> None:
    """Nobody should have to write down what the data say; "007" is a code, not seven."""
    rows = read(with_column(values), features=["area", "x"])

    assert column(rows, "x").dtype == dtype


def test_decimal_commas_give_the_same_rows_as_decimal_points() -> None:
    """They made a category of 448 texts, and a model that had lost its best column."""
    comma = [{**each, "area": str(area).replace(".", ",")} for each, area in _areas()]
    point = [{**each, "area": str(area)} for each, area in _areas()]

    assert read(comma).features.tolist() == read(point).features.tolist()
    assert column(read(comma), "area").dtype == "float64"


def _areas() -> list[tuple[dict[str, Any], float]]:
    return [(flat, 20 + i / 8) for i, flat in enumerate(flats(100))]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["1,250", "2,400", "990"], "'1,250' may be 1.25 or 1250"),
        (["62,5", "62.5", "1,250"], "have different decimal signs in one column"),
        (["1.5 kW", "900 W"], "numbers in several units in one column"),
    ],
)
def test_a_column_that_can_be_read_two_ways_is_asked_for(values: list[Any], said: str) -> None:
    """Chosen in silence, half of the values would be a thousand times too large."""
    with pytest.raises(SettingsInvalid) as refused:
        read(with_column(values), features=["area", "x"])

    assert said in str(refused.value)
    assert "features: x:" in str(refused.value)


def test_what_is_said_of_a_column_wins_over_what_is_learnt() -> None:
    """A number that is a code, a range that is meant and not seen, a unit for people."""
    said = {
        "area": {"unit": "m²", "low": 0.0, "high": 500.0},
        "rooms": {"type": "category"},
        "district": {},
    }
    rows = read(flats(100), features=said)

    rooms, area = column(rows, "rooms"), column(rows, "area")
    assert (rooms.dtype, rooms.vocabulary) == ("category", ["1", "2", "3", "4"])
    assert (area.unit, area.low, area.high) == ("m²", 0.0, 500.0)


def test_ranges_and_vocabularies_are_those_of_the_rows() -> None:
    """They go into the manifest, where a client reads what the model has seen."""
    documents = flats(100)
    rows = read(documents)

    rooms = [flat["rooms"] for flat in documents]
    assert (column(rows, "rooms").low, column(rows, "rooms").high) == (min(rooms), max(rooms))
    assert column(rows, "district").vocabulary == ["centre", "harbour", "hill", "north"]
    assert column(rows, "district").low is None
    assert math.isnan(rows.features[9, 0]), "every tenth area is not known"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rent": None}, "no rent"),
        ({"rent": "on request"}, "rent is no number"),
        ({"offered_at": "soon"}, "no time that can be read"),
        ({"offered_at": "2099-01-01"}, "dated later than the newest record"),
        ({"area": "large"}, "area is no number"),
        ({"district": ["hill"]}, "district is a list or an object"),
    ],
)
def test_a_record_that_cannot_be_used_is_left_out_and_counted(
    change: dict[str, Any], reason: str
) -> None:
    """Bad rows must neither stop the good ones nor vanish without a word."""
    documents = flats(100)
    documents[50] |= change

    rows = read(documents)

    assert rows.n_rows == 99
    assert rows.rejected == {reason: 1}


def test_a_record_is_refused_at_intake_for_what_it_alone_can_say() -> None:
    """`check` and the feed tell at once; a learnt type shows only among many records."""
    workload = Tabular({**PARAMETERS, "features": {"area": {"type": "float64"}, "rooms": {}}})
    good = flats(1)[0]

    def reason(**change: Any) -> str | None:
        return workload.reject_reason("records", {**good, **change})

    assert reason() is None
    assert reason(area=None, rooms="many") is None
    assert reason(rent="") == "no rent"
    assert reason(area="large") == "area is no number"
    assert reason(rooms={"n": 3}) == "rooms is a list or an object"
    assert reason(offered_at=True) == "no time that can be read"


def test_of_many_texts_the_most_frequent_are_told_apart_and_the_rest_is_unknown() -> None:
    """A shop with 50,000 brands must not make a matrix of 50,000 columns."""
    values = ["a"] * 6 + ["b"] * 4 + ["c", "d"]
    rows = read(with_column(values), features=["area", "x"], max_categories=2)

    assert column(rows, "x").vocabulary == ["a", "b"]
    assert set(rows.features[:, 1].tolist()) == {0.0, 1.0, UNKNOWN_CATEGORY}


@pytest.mark.parametrize(
    ("values", "features", "said"),
    [
        (["2026-01-05", "2026-02-11T10:00:00Z"], ["x"], "holds dates"),
        ([[1, 2], {"a": 1}], ["x"], "lists or objects"),
        ([1], ["x", "aera"], "no record has a column 'aera'"),
    ],
)
def test_what_is_no_feature_is_refused_with_what_to_do(
    values: list[Any], features: list[str], said: str
) -> None:
    """A model that trains on an id or a date as a text looks fine and is worth nothing."""
    with pytest.raises(SettingsInvalid, match="parameters of workload tabular") as refused:
        read(with_column(values), features=features, max_categories=50)

    assert said in str(refused.value)


def test_days_of_a_column_of_time_are_those_of_its_time_zone() -> None:
    """The holdout must be the days of the business, not of Greenwich."""
    documents = flats(100)
    documents[0]["offered_at"] = "2026-08-31T23:30:00Z"

    utc, berlin = read(documents), read(documents, time_zone="Europe/Berlin")

    assert str(utc.day[0]) == "2026-08-31"
    assert str(berlin.day[0]) == "2026-09-01"
    assert (np.diff(utc.day.astype(np.int64)) >= 0).all()


@pytest.mark.parametrize("n_more", [0, 1, 7, 400])
def test_without_times_blocks_of_rows_stand_for_days_and_nothing_leaks(n_more: int) -> None:
    """A table that was imported in one go has no days; still no version may be judged on rows
    that an earlier one was trained on, however many rows came in between."""
    documents = flats(300 + n_more)
    parameters = {**PARAMETERS, "time": ""}
    workload = Tabular(parameters)
    first = workload.training_set({"records": table(documents[:300])})
    later = workload.training_set({"records": table(documents)})

    n_trained = workload.split(first)[0].n_rows
    n_older = later.n_rows - workload.split(later)[1].n_rows

    assert first.n_days == later.n_days == N_BLOCKS
    assert n_older >= n_trained
    assert later.day[-1] == np.datetime64((START + timedelta(days=200)).date())


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (["yes", "no"], ("no", "yes")),
        ([2, 0, 1], (0, 1, 2)),
        ([1.0, 0.0], (0, 1)),
        ([True, False], (False, True)),
        (["a", 1], ("1", "a")),
    ],
)
def test_labels_keep_the_type_that_the_records_have(
    values: list[Any], labels: tuple[Any, ...]
) -> None:
    """Who writes 0 and 1 wants 0 and 1 back, not "0" and "1"."""
    rows = read(with_column(values), target="x", task="classification", estimator="knn")

    context: TrainingContext = rows.context
    assert context.labels == labels
    assert [type(each) for each in context.labels] == [type(each) for each in labels]
    assert set(rows.slices.tolist()) <= {"yes", "no", "0", "1", "2", "true", "false", "a"}


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["stays", "leaves", "n/a"], "classification"),
        (["12A", "12B"], "classification"),
        (["62,5 €", "70,25 €", "-"], "regression"),
        ([1, 0], "regression"),
        ([True, False], "regression"),
        (["007", "008"], "classification"),
    ],
)
def test_a_target_of_texts_means_classification_without_being_told(
    values: list[Any], task: str
) -> None:
    """A first try with labels ended with "is no number" for each record."""
    rows = read(with_column(values), target="x", estimator="knn", target_unit="")

    assert rows.context.task == task
    assert Tabular({**PARAMETERS, "target": "x"}).reject_reason(
        "records", {**flats(1)[0], "x": values[0]}
    ) in (None, "x is no number"), "ridge can do regression only"


def test_the_decimal_sign_of_a_mapped_feature_counts() -> None:
    """It was read and did nothing for columns whose type is learnt; other texts stay."""
    field = FieldSettings(path="x", decimal=",")
    convert = conversion_of(FieldSpec("x", "value", "a feature"), field, None, None, "x")

    assert [convert(each) for each in ("1,250", "red", None)] == [1.25, "red", None]


def test_a_number_to_predict_is_not_taken_for_labels() -> None:
    """A class for each price trains for an hour and answers nonsense."""
    documents = [{**flat, "price": i} for i, flat in enumerate(flats(100))]

    with pytest.raises(SettingsInvalid, match="100 different values in 100 rows, too many"):
        read(documents, target="price", task="classification", estimator="knn")


BAD: Mapping[str, tuple[dict[str, Any], str]] = {
    "no target": ({"target": " "}, "target: expected the name of a column"),
    "no features": ({"features": []}, "at least one column"),
    "twice": ({"features": ["area", "area"]}, r"\['area'\] stand there more than once"),
    "target among features": ({"features": ["area", "rent"]}, "'rent' is the target"),
    "time as feature": ({"features": ["offered_at"]}, "'offered_at' is a feature or the target"),
    "zone": ({"time_zone": "Mars/Base"}, "IANA name"),
    "unknown name": ({"estimator": "forest"}, "expected one of .*random_forest.* found 'forest'"),
    "wrong task": (
        {"estimator": "logistic_regression", "task": "regression"},
        "found 'logistic_regression', which cannot do regression",
    ),
    "no import path": ({"estimator": "a b:c"}, "expected package.module:factory"),
    "range": ({"features": {"area": {"low": 2, "high": 1}}}, "features.area: expected low <= high"),
    "typo": ({"features": {"area": {"units": "m"}}}, "unknown field `units`"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_configuration_is_a_sentence_that_says_what_to_write(case: str) -> None:
    """It is found when the daemons start, not in the first training at night."""
    change, said = BAD[case]

    with pytest.raises(SettingsInvalid, match=said):
        Tabular({**PARAMETERS, **change})


def test_target_and_features_have_no_default() -> None:
    """To guess either would train something that nobody asked for."""
    with pytest.raises(SettingsInvalid, match="missing required field `target`"):
        Tabular({"features": ["area"]})
