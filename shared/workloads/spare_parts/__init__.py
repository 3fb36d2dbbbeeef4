"""Spare parts: how many of each part the coming days will need, from completed appointments.

`records` reads documents, `daily_totals` sums them by day, `rows` makes features, `serving`
answers, `workload` wires them.
"""
