"""What a request may change of one training, and what it may not."""

from __future__ import annotations

from typing import Any

import pytest

from retrain_service.training_job.build_spec import parameters_of_run
from shared.errors import SettingsInvalid
from shared.settings.per_model import ModelSettings

OWN = "letting.pipelines:make"


def configured(estimator: str) -> ModelSettings:
    parameters = {"target": "rent", "features": ["area"], "estimator": estimator}
    return ModelSettings(workload="tabular", source="rows", parameters=parameters)


@pytest.mark.parametrize("estimator", ["ridge", OWN])
def test_a_request_to_train_names_no_code(estimator: str) -> None:
    """Else a key, or a file in the folder of requests, ran any program beside the signing key."""
    asked = {"estimator": "os:system", "estimator_options": {"command": "true"}}

    with pytest.raises(SettingsInvalid, match=r"os:system: .* in the configuration only"):
        parameters_of_run(configured(estimator), {"parameters": asked})


@pytest.mark.parametrize(
    ("estimator", "asked"),
    [
        (OWN, {"estimator": OWN, "estimator_options": {"strength": 2}}),
        (OWN, {"estimator": "ridge"}),
        ("ridge", {"estimator_options": {"alpha": 2}}),
        (OWN, {}),
    ],
)
def test_a_request_to_train_may_change_the_rest(estimator: str, asked: dict[str, Any]) -> None:
    """Options of the configured factory, and estimators by name, are for trying."""
    found = parameters_of_run(configured(estimator), {"parameters": asked})

    assert found == {"target": "rent", "features": ["area"], "estimator": estimator, **asked}
