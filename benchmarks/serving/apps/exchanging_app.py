"""A Flask service that exchanges its model: by a thread that looks, or by a restart."""

import os
import threading
import time
from pathlib import Path

import joblib
import pandas as pd
from flask import Flask, jsonify, request

PATH = Path(os.environ["BENCH_MODEL"])
app = Flask(__name__)
model = joblib.load(PATH)


def look():
    global model
    seen = PATH.stat().st_mtime_ns
    while True:
        time.sleep(0.2)
        now = PATH.stat().st_mtime_ns
        if now != seen:
            seen = now
            model = joblib.load(PATH)


if os.environ["BENCH_RELOAD"] == "thread":
    threading.Thread(target=look, daemon=True).start()


@app.post("/predict")
def predict():
    frame = pd.DataFrame(request.get_json()["instances"])
    return jsonify(predictions=model.predict(frame).tolist())
