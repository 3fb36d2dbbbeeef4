"""Server metrics: what each server's load will be in the coming hour, and how near trouble it is.

`records` reads rows, `features` lays them on a grid of minutes, `rows` makes training rows, `model`
is fitted and forecasts, `risk` rates, `serving` answers, `workload` wires them.
"""
