"""One suite over all workloads: what `shared/workloads/contract.py` says a workload must do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrain_service.compiling.compile import compile_estimator
from shared.forms.open_form import open_compiled
from shared.records import Table
from shared.versions.staged_files import StagedFiles
from shared.workloads import PER_ENTITY, REGISTRY, open_workload
from shared.workloads.check import check_workload
from tests.shared.workloads import garage, roof, shop
from tests.shared.workloads.server_metrics import test_workload
from tests.shared.workloads.tabular import flats
from tests.support.mean_workload import MeanWorkload

Records = tuple[Mapping[str, Any], Mapping[str, Table]]


def spare_parts() -> Records:
    documents = garage.documents(garage.demand(120))
    catalogue = [{"name": f"Part {i:02d}", "sku": f"P-{i}", "price": 9.5} for i in range(15)]
    return {}, {
        "appointments": garage.table(documents),
        "spare_parts": garage.table(catalogue, stream="spare_parts"),
    }


def solar_power() -> Records:
    parameters = {"time_zone": "Asia/Colombo"}
    return parameters, {"readings": roof.table(roof.days_of_sun(7))}


def product_similarity() -> Records:
    return {}, {"products": shop.table("products", shop.products())}


def product_recommender() -> Records:
    return {}, {
        "products": shop.table("products", shop.products()),
        "interactions": shop.table("interactions", shop.events()),
    }


def server_metrics() -> Records:
    minutes = test_workload.series(cpu=test_workload.returning, memory=test_workload.shifting)
    return {"metrics": ["cpu", "memory"]}, {minutes.stream: minutes}


def tabular() -> Records:
    return flats.PARAMETERS, {"records": flats.table(flats.flats())}


RECORDS: Mapping[str, Callable[[], Records]] = {
    "spare_parts": spare_parts,
    "solar_power": solar_power,
    "product_similarity": product_similarity,
    "product_recommender": product_recommender,
    "server_metrics": server_metrics,
    "tabular": tabular,
}


def test_every_workload_is_held_to_the_contract() -> None:
    """A workload without records here would be registered and never checked."""
    assert RECORDS.keys() == REGISTRY.keys() - {"mean", "mean_per_device", "tiny"}


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_a_workload_keeps_its_contract(name: str) -> None:
    """The engine rests on these promises and knows no workload by name."""
    parameters, tables = RECORDS[name]()
    workload = open_workload(name, parameters)

    assert check_workload(workload, tables) == []


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_the_compiled_form_is_scored_as_the_estimator_is(name: str, tmp_path: Path) -> None:
    """A champion whose estimator no longer opens is judged by it."""
    parameters, tables = RECORDS[name]()
    workload = open_workload(name, parameters)
    rows = workload.training_set(tables)
    train, holdout = workload.split(rows)
    estimator = workload.fit(train, 1, lambda _fraction, _stage: None)
    state = workload.state(rows)
    staged = StagedFiles(tmp_path)
    compile_estimator(
        estimator,
        rows.features,
        contract=workload.open(estimator, state).rows,
        staged=staged,
        check=lambda _form: None,
    )

    form = workload.with_state(open_compiled(staged.files), state)

    expected, found = workload.score(estimator, holdout), workload.score(form, holdout)
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-6, atol=1e-6)
    assert np.ptp(expected.loss) > 0


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_the_naive_baseline_is_an_estimator_like_any_other(name: str, tmp_path: Path) -> None:
    """Where it is served, clients must get the very answers that it was judged by."""
    parameters, tables = RECORDS[name]()
    workload = open_workload(name, parameters)
    if not workload.serves_baseline:
        pytest.skip(f"the baseline of {name} cannot be served")
    rows = workload.training_set(tables)
    train, holdout = workload.split(rows)
    naive, state = workload.fit_baseline(train), workload.state(rows)

    staged = StagedFiles(tmp_path)
    compile_estimator(
        naive,
        rows.features,
        contract=workload.open(naive, state).rows,
        staged=staged,
        check=lambda _form: None,
    )

    form = workload.with_state(open_compiled(staged.files), state)
    expected = workload.score_baseline(holdout)
    for found in (workload.score(naive, holdout), workload.score(form, holdout)):
        np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_what_is_said_of_entities_beside_the_registry_is_true(name: str) -> None:
    """The API reads it there so that it need not import the workload."""
    parameters, _ = RECORDS[name]()

    assert open_workload(name, parameters).per_entity == (name in PER_ENTITY)


class Forgetful(MeanWorkload):
    """Breaks promises: other rows each time, a state that is not one, no golden request."""

    calls = 0

    def training_set(self, tables: Mapping[str, Table]) -> Any:
        Forgetful.calls += 1
        rows = super().training_set(tables)
        rows.target[0] = Forgetful.calls
        return rows

    def state(self, rows: Any) -> Mapping[str, bytes]:
        return {**super().state(rows), "model.pkl": b""}

    def golden_requests(self, rows: Any) -> list[Any]:
        return []


def test_a_broken_promise_is_said() -> None:
    """A check that finds nothing wrong with anything would be worth nothing."""
    days = [{"day": f"2026-01-{i:02d}", "value": i % 3} for i in range(1, 29)]

    found = check_workload(Forgetful({}), {"rows": garage.table(days, stream="rows")})

    assert "the same tables gave different rows" in found
    assert "state file 'model.pkl': its name must begin with 'state.'" in found
    assert "no golden request asks ['predict']" in found
