"""Bring your own model: records with columns, a target, and any scikit-learn estimator.

`records` reads cells, `columns` learns types, `rows` makes training rows, `estimators` and
`estimator_factory` make estimators, `serving` answers, `workload` wires them.
"""
