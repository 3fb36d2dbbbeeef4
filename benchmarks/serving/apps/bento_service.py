"""A BentoML service: bentoml serve bento_service:Predictor."""

import os
from typing import Any

import bentoml
import joblib
import pandas as pd


@bentoml.service(workers=2)
class Predictor:
    def __init__(self) -> None:
        self.model = joblib.load(os.environ["BENCH_MODEL"])

    @bentoml.api
    def predict(self, instances: list[dict[str, Any]]) -> dict[str, list[float]]:
        return {"predictions": self.model.predict(pd.DataFrame(instances)).tolist()}
