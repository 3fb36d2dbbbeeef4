"""A LitServe server with two workers: python lit_server.py PORT."""

import os
import sys

import joblib
import litserve
import pandas as pd


class Predictor(litserve.LitAPI):
    def setup(self, device):
        self.model = joblib.load(os.environ["BENCH_MODEL"])

    def decode_request(self, request):
        return pd.DataFrame(request["instances"])

    def predict(self, frame):
        return self.model.predict(frame).tolist()

    def encode_response(self, predictions):
        return {"predictions": predictions}


if __name__ == "__main__":
    server = litserve.LitServer(Predictor(), accelerator="cpu", workers_per_device=2)
    server.run(port=int(sys.argv[1]), host="127.0.0.1", generate_client_file=False)
