"""Spare parts: how many of each part the coming days will need, from completed appointments.

`workload` holds the contract together; `appointments` reads odd documents, `parts_ledger` sums
them up, `daily_demand` says what is known the day before, `restock_forecast` answers.
"""
