"""Bring your own model: records with columns, a target, and any scikit-learn estimator.

`workload` holds the contract together; what a cell is, what a column is, which estimators there
are and what an answer is stand each in a file of its own.
"""
