"""Ray Serve with two replicas: python ray_server.py PORT."""

import os
import sys
import time

import joblib
import pandas as pd
import ray
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=2, ray_actor_options={"num_cpus": 0.5})
class Predictor:
    def __init__(self, path):
        self.model = joblib.load(path)

    async def __call__(self, request: Request):
        rows = (await request.json())["instances"]
        return {"predictions": self.model.predict(pd.DataFrame(rows)).tolist()}


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, configure_logging=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Predictor.bind(os.environ["BENCH_MODEL"]), route_prefix="/")
    while True:
        time.sleep(1)
