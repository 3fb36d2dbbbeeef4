"""Solar power: the watts of one device some minutes ahead, from its own readings.

`records` reads documents, `rows` makes features and targets, `model` makes estimators, `serving`
answers, `workload` wires them.
"""
