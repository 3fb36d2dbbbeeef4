"""A FastAPI service as it is usually written: uvicorn fastapi_app:app --workers 2."""

import os
from typing import Any

import joblib
import pandas as pd
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
model = joblib.load(os.environ["BENCH_MODEL"])


class Rows(BaseModel):
    instances: list[dict[str, Any]]


class Arrays(BaseModel):
    instances: list[list[float]]


@app.post("/predict")
def predict(rows: Rows):
    return {"predictions": model.predict(pd.DataFrame(rows.instances)).tolist()}


@app.post("/predict_array")
def predict_array(rows: Arrays):
    return {"predictions": model.predict(rows.instances).tolist()}
