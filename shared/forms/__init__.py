"""The forms that serve: opened without scikit-learn, pandas or joblib.

`retrain_service.compiling` makes them when a version is staged.
"""
