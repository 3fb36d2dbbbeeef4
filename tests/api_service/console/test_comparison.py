"""Two versions side by side where answers are labels, lists, or in units of their own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from api_service.console.compare import rows as same_rows
from api_service.console.compare.drift import drift_rows, psi_of_texts
from api_service.console.workload_views import rows_view
from shared.versions.answer_sample import ANSWERS_NAME, read_answers
from shared.versions.holdout_sample import UNKNOWN, HoldoutSample, sample_of
from shared.versions.manifest import Manifest, read_manifest
from shared.workloads.product_recommender.workload import ProductRecommender
from shared.workloads.product_similarity.workload import ProductSimilarity
from shared.workloads.tabular.workload import Tabular
from shared.workloads.training import RowAnswers, Score, TrainingSet
from tests.api_service.conftest import serving_config
from tests.api_service.console.conftest import HTML, Desk
from tests.shared.workloads.shop import events, products, rows_of
from tests.shared.workloads.tabular.flats import PARAMETERS, flats, no_progress, tables
from tests.support.product_versions import publish_products
from tests.support.versions import make_version

LABELS = ["cheap", "dear"]


def classified(n: int = 200) -> HoldoutSample:
    """Held-out flats that a logistic regression and a champion of fewer rows have labelled."""
    workload = Tabular(
        {**PARAMETERS, "target": "is_dear", "task": "classification", "target_unit": ""}
        | {"estimator": "logistic_regression"}
    )
    train, holdout = workload.split(workload.training_set(tables(flats(n))))
    few = train.where(np.arange(train.n_rows) < 30)
    scores = [workload.score(workload.fit(each, 1, no_progress), holdout) for each in (train, few)]
    found = sample_of(holdout, scores[0], "v1", scores[1], workload.vocabulary_of(holdout))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def flats_sample() -> HoldoutSample:
    return classified()


@pytest.fixture
def manifests(desk: Desk) -> list[Manifest]:
    """Of two versions; the first is the champion that the samples name."""
    names = [make_version(desk.home.store, desk.home.key, "m", number) for number in (1, 2)]
    return [read_manifest(desk.home.store.version_dir("m", name))[0] for name in names]


def test_a_classifier_keeps_labels_chances_and_the_texts_of_its_categories(
    flats_sample: HoldoutSample,
) -> None:
    """A number that stands for a district in one version stands for another in the next."""
    assert flats_sample.labels == LABELS
    assert set(flats_sample.predicted) == {0.0, 1.0}
    assert flats_sample.probability is not None
    assert flats_sample.champion_probability is not None
    for said, true, chance in zip(
        flats_sample.predicted, flats_sample.actual, flats_sample.probability, strict=True
    ):
        assert chance is not None
        assert (said == true) is (chance > 0.5)
    districts = {row[2] for row in flats_sample.features}
    assert districts <= {"centre", "harbour", "hill", "north", UNKNOWN}
    assert "centre" in districts


def test_two_classifiers_are_compared_by_what_they_say_and_how_sure_they_are(
    flats_sample: HoldoutSample, manifests: list[Manifest]
) -> None:
    """Which rows changed sides, and who was right about them."""
    sample = msgspec.structs.replace(flats_sample, champion=manifests[0].version)

    found = same_rows.view(manifests, [None, sample], None)

    assert sample.champion_predicted is not None
    n_same = sum(a == b for a, b in zip(sample.predicted, sample.champion_predicted, strict=True))
    assert f"{n_same} of them get the same label from both" in found.text
    (picture,) = found.pictures
    assert picture.title == "The probability that each gave to the true label"
    assert str(picture.svg).count("<circle") == sample.n_rows
    (table,) = found.tables
    assert sum(int(row[-1]) for row in table.rows) == sample.n_rows - n_same
    for said, then, true, right, _ in table.rows:
        assert said != then
        assert right == {said: "v000001", then: "v000002"}[true]


def test_labels_of_a_version_that_serves_are_shown_on_its_own_page(
    flats_sample: HoldoutSample,
) -> None:
    """What was taken for what."""

    class Asked:
        def sample(self) -> HoldoutSample:
            return flats_sample

    found = rows_view.view(Asked())  # type: ignore[arg-type]  # no more of it is asked

    assert found is not None
    table = found.tables[0]
    assert sum(int(cell) for row in table.rows for cell in row[1:]) == flats_sample.n_rows
    right = sum(a == b for a, b in zip(flats_sample.actual, flats_sample.predicted, strict=True))
    assert f"{100 * right / flats_sample.n_rows:.1f} % of them were told right" in found.text


def test_categories_drift_by_their_texts(flats_sample: HoldoutSample) -> None:
    """Two versions may number the same districts differently."""
    assert psi_of_texts(["a"] * 50 + ["b"] * 50, ["b"] * 50 + ["a"] * 50) == pytest.approx(0.0)
    much = psi_of_texts(["a"] * 90 + ["b"] * 10, ["a"] * 10 + ["c"] * 90)
    assert much is not None
    assert much > 1
    assert psi_of_texts(["a"] * 5, ["a"] * 50) is None

    specs = Tabular(
        {**PARAMETERS, "features": {"area": {}, "rooms": {}, "district": {"type": "category"}}}
    ).features
    moved = msgspec.structs.replace(
        flats_sample, features=[[*row[:2], "harbour"] for row in flats_sample.features]
    )
    first = drift_rows(specs, flats_sample, specs, moved)[0]
    assert (first.name, first.mean_b, first.word) == ("district", "harbour", "much")


def test_metrics_in_units_of_their_own_are_drawn_apart(manifests: list[Manifest]) -> None:
    """Percent of memory and processes in one picture would show neither."""
    n = 40
    day = np.datetime64("2026-11-01") + np.arange(n) // 10
    slices = np.array(["cpu", "load"])[np.arange(n) % 2]
    rows = TrainingSet(np.zeros((n, 1)), np.zeros((n, 3)), day, slices)
    values = np.where(np.arange(n) % 2, 2.0, 80.0)

    def score(offset: float) -> Score:
        answers = RowAnswers(values, values + offset, "in 60 min", has_slice_units=True)
        return Score(np.ones(n), day, slices, {}, "of persistence's error", rows=answers)

    sample = sample_of(rows, score(1.0), manifests[0].version, score(3.0))

    found = same_rows.view(manifests, [None, sample], None)

    assert [one.y_label for one in map(_Drawn, found.pictures)] == [
        "v000002, cpu in 60 min",
        "v000002, load in 60 min",
    ]
    assert "on average they are 2 apart" in found.pictures[0].text
    assert "From the truth v000001 is 3 off, v000002 1." in found.pictures[1].text


class _Drawn:
    """What stands at the upright axis of a picture."""

    def __init__(self, picture: Any) -> None:
        units = re.findall(r'<text class="unit"[^>]*>([^<]*)</text>', str(picture.svg))
        self.y_label = units[0]


@pytest.mark.parametrize(
    ("name", "workload"),
    [("product_recommender", ProductRecommender), ("product_similarity", ProductSimilarity)],
)
def test_recommendations_are_compared_by_what_both_show_the_same_people(
    tmp_path: Path, name: str, workload: type[ProductRecommender] | type[ProductSimilarity]
) -> None:
    """Overlap of the first ten, with names; a customer or a product that only one knows is none."""
    desk = Desk(tmp_path, serving_config(tmp_path / "home"))
    for number, n_users in ((1, 40), (2, 60)):
        happened = events(n_users, seed=number) if name == "product_recommender" else []
        goods = products(60 + 10 * number, seed=number)
        publish_products(desk.home, "goods", name, number, rows_of(workload({}), goods, happened))
    desk.tick()
    a, b = desk.home.store.versions("goods")
    kept = [read_answers(desk.home.store.version_dir("goods", each)) for each in (a, b)]
    page = desk.client().get(f"/console/compare?model=goods&a={a}&b={b}", headers=HTML).text

    assert kept[0] is not None
    assert kept[1] is not None
    both = kept[0].answers.keys() & kept[1].answers.keys()
    mean = np.mean([len({*kept[0].answers[one]} & {*kept[1].answers[one]}) for one in both])
    assert f"{len(both)} {kept[0].what} that both versions know were asked" in page
    assert f"On average {float(f'{mean:.3g}'):g} of 10 are in both lists" in page
    assert "Most changed" in page
    assert "it has no feature that could drift" in " ".join(page.split())
    entry = read_manifest(desk.home.store.version_dir("goods", a))[0].files
    assert ANSWERS_NAME in entry

    (desk.home.store.version_dir("goods", a) / ANSWERS_NAME).unlink()
    page = desk.client().get(f"/console/compare?model=goods&a={a}&b={b}", headers=HTML).text
    assert "Any two that are trained from now on can be compared" in " ".join(page.split())
