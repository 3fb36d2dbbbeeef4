"""A Flask service as it is usually written: gunicorn -w 2 --threads 4 flask_app:app."""

import os

import joblib
import pandas as pd
from flask import Flask, jsonify, request

app = Flask(__name__)
model = joblib.load(os.environ["BENCH_MODEL"])


@app.post("/predict")
def predict():
    frame = pd.DataFrame(request.get_json()["instances"])
    return jsonify(predictions=model.predict(frame).tolist())


@app.post("/predict_array")
def predict_array():
    return jsonify(predictions=model.predict(request.get_json()["instances"]).tolist())
