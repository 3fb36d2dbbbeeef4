"""Solar power: the watts of one device some minutes ahead, from its own readings.

`workload` holds the contract together; `readings` reads odd documents, `power_features` says
what is known at a moment and what came of it, `power_forecast` answers.
"""
