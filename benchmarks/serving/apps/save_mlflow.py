"""Save a fitted pipeline as an MLflow model: python save_mlflow.py FROM TO."""

import sys

import joblib
import mlflow.sklearn

mlflow.sklearn.save_model(joblib.load(sys.argv[1]), sys.argv[2], serialization_format="cloudpickle")
