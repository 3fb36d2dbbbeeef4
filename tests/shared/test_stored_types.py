"""Stored versions outlive the modules that wrote them, and releases in both directions."""

from __future__ import annotations

import io
import json
import logging
import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import msgspec
import numpy as np
import pytest

from shared import stored_types
from shared.errors import LoadFailed
from shared.forms import data_tree
from shared.forms.preprocessing_plan import Numbers, Plan, Step
from shared.stored_types import OLD_PATHS, TAGS, class_of, old_names, rebuild, tag_of
from shared.workloads.product_catalogue.catalogue import Catalogue
from shared.workloads.product_recommender.model import Blend
from shared.workloads.rows import FeatureSpec, RowContract
from tests.integration.test_stored_versions import stored
from tests.support.stored_paths import modules_named_in

PLAN = Plan(
    2,
    1,
    (Numbers(np.array([1]), np.array([0]), (Step("subtract", np.array([2.0])),)),),
)
NOTHING = data_tree.encode(None)[1]


@dataclass(frozen=True)
class MovedBlend:
    """What a class is called after it was moved and given another name."""

    content: float
    collaborative: float
    popularity: float
    n_learnt_from: int = 0
    half_life_days: float = 30.0


def old_pickle(module: str, name: str) -> bytes:
    """As protocol 0 writes it: the name of the class, its arguments, the call."""
    return f"c{module}\n{name}\n(F0.5\nF0.25\nF0.25\nI4\ntR.".encode()


def test_every_tag_and_every_old_path_leads_to_a_class() -> None:
    """An entry that leads nowhere costs users every version that holds it."""
    for tag in TAGS:
        assert tag_of(class_of(tag)) == tag
    for path, tag in OLD_PATHS.items():
        assert class_of(tag), path


def test_format_two_names_tags_and_comes_back_equal() -> None:
    tree, arrays = data_tree.encode(PLAN)

    stored = json.loads(tree)

    assert stored["format"] == 2
    assert stored["root"]["type"] == "plan/1"
    assert b"shared." not in tree
    rows = np.array([[1.0, 5.0]])
    assert data_tree.decode(tree, arrays).apply(rows) == PLAN.apply(rows) == 3.0


def test_format_one_opens_by_the_table_alone() -> None:
    """What is not in it is not imported, though it is a module of ours."""
    fields = {"content": 0.5, "collaborative": 0.25, "popularity": 0.25, "n_learnt_from": 4}
    path = "shared.workloads.product_recommender.blend:Blend"
    tree = json.dumps({"format": 1, "root": {"class": path, "fields": fields}}).encode()
    assert data_tree.decode(tree, NOTHING) == Blend(0.5, 0.25, 0.25, 4)

    foreign = "shared.forms.process.client:Hello"
    tree = json.dumps({"format": 1, "root": {"class": foreign, "fields": {}}}).encode()
    with pytest.raises(LoadFailed, match=foreign):
        data_tree.decode(tree, NOTHING)


@pytest.mark.parametrize(
    "root",
    [
        {"type": "door/1", "fields": {}},
        {"type": "shared.forms.preprocessing_plan:Plan", "fields": {}},
        {"type": 3, "fields": {}},
        {"fields": {}},
    ],
)
def test_an_unknown_tag_is_refused(root: dict[str, Any]) -> None:
    tree = json.dumps({"format": 2, "root": root}).encode()

    with pytest.raises(LoadFailed):
        data_tree.decode(tree, NOTHING)


def test_a_field_of_a_later_release_is_left_out_and_noted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Who goes back by one release keeps the versions of the later one."""
    fields = {"content": 0.5, "collaborative": 0.25, "popularity": 0.25, "of_the_future": 1}

    with caplog.at_level(logging.WARNING):
        found = rebuild("blend/1", fields)

    assert found == Blend(0.5, 0.25, 0.25)
    assert "blend/1" in caplog.text
    assert "of_the_future" in caplog.text


def test_a_missing_field_takes_its_default_or_is_named() -> None:
    assert rebuild("blend/1", {"content": 1.0, "collaborative": 0.0, "popularity": 0.0}) == Blend(
        1.0, 0.0, 0.0, 0
    )
    with pytest.raises(LoadFailed, match="'popularity'"):
        rebuild("blend/1", {"content": 1.0, "collaborative": 0.0})
    with pytest.raises(LoadFailed, match="'n_outputs'"):
        rebuild("plan/1", {"n_inputs": 3})


def test_a_pickled_class_of_ours_names_this_module_alone() -> None:
    contract = RowContract((FeatureSpec("area", "float64", "m2"),), {"town": {"Ulm": 0.0}})

    content = pickle.dumps(contract)

    assert content.count(b"shared.") == content.count(b"shared.stored_types") == 1
    assert pickle.loads(content) == contract


def test_an_old_pickle_opens_after_its_module_has_gone_and_its_class_has_another_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """This is what makes moving modules safe."""
    gone = "shared.gone.mixing"
    monkeypatch.setattr(stored_types, "OLD_PATHS", {f"{gone}:Mix": "blend/1"})
    content = old_pickle(gone, "Mix")
    with pytest.raises(ModuleNotFoundError):
        joblib.load(io.BytesIO(content))

    with old_names(), old_names():
        assert joblib.load(io.BytesIO(content)) == Blend(0.5, 0.25, 0.25, 4)
        with pytest.raises(AttributeError):
            joblib.load(io.BytesIO(old_pickle(gone, "system")))

    assert gone not in sys.modules


def test_a_class_may_leave_a_module_that_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others go on importing what is still there, also while something old is opened."""
    module = Blend.__module__
    monkeypatch.setattr(
        stored_types, "TAGS", {**TAGS, "blend/1": f"{__name__}:{MovedBlend.__qualname__}"}
    )
    monkeypatch.setattr(stored_types, "OLD_PATHS", {f"{module}:Blend": "blend/1"})
    before = sys.modules[module]

    with old_names():
        found = joblib.load(io.BytesIO(old_pickle(module, "Blend")))
        from shared.workloads.product_recommender.model import of_highest

        assert of_highest(np.ones(2, dtype=np.float32)).all()
    assert found == MovedBlend(0.5, 0.25, 0.25, 4, 30.0)
    assert sys.modules[module] is before


def test_the_state_of_a_later_release_with_a_further_field_is_read() -> None:
    """Going back by one release must not cost the versions of the later one."""
    catalogue = Catalogue(["a"], ["Lamp"], ["Light"], np.array([1.0]), np.array([4.0]))
    saved = msgspec.json.decode(catalogue.save())

    found = Catalogue.read(msgspec.json.encode({**saved, "of_the_future": [1]}))

    assert list(found.ids) == ["a"]


def test_what_searches_for_paths_finds_those_of_the_first_release(tmp_path: Path) -> None:
    """Else the tests that find none would say nothing."""
    home = stored("0.1.0", tmp_path)

    found = modules_named_in(home.home / "models")

    assert {path.partition(":")[0] for path in OLD_PATHS} <= found
    assert found <= {path.partition(":")[0] for path in OLD_PATHS}
