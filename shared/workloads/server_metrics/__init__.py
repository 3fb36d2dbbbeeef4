"""Server metrics: what each server's load will be in the coming hour, and how near trouble it is.

`samples` reads odd rows, `history` lays them on a grid of minutes, `forecaster` learns and
forecasts, `risk` judges, `fleet` answers; `workload` holds the contract together.
"""
