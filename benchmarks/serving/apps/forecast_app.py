"""A demand forecast as it is usually written: day by day and part by part through a forest."""

import os

import joblib
import numpy as np
import pandas as pd
from flask import Flask, jsonify, request

app = Flask(__name__)
saved = joblib.load(os.environ["BENCH_MODEL"])
forest, parts, demand, first_day = (
    saved[name] for name in ("forest", "parts", "demand", "first_day")
)


@app.post("/forecast_restock_demand")
def forecast():
    n_days = request.get_json()["forecast_days"]
    known = [list(column) for column in demand.T]
    days = first_day + np.arange(len(demand), len(demand) + n_days)
    breakdown = []
    for day in days:
        weekday = int((day.astype("datetime64[D]").astype(int) + 3) % 7)
        found = {}
        for part, past in zip(parts, known, strict=True):
            row = {
                "weekday": weekday,
                "yesterday": past[-1],
                "a_week_ago": past[-7],
                "mean_7": np.mean(past[-7:]),
                "mean_28": np.mean(past[-28:]),
            }
            pieces = float(forest.predict(pd.DataFrame([row]))[0])
            past.append(pieces)
            found[part] = round(pieces, 2)
        breakdown.append({"date": str(day), "parts": found})
    return jsonify(daily_breakdown=breakdown)
