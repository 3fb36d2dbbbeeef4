"""Product similarity: for each approved product those that are most like it.

`evaluation` scores without clicks, `serving` answers, `workload` wires them. Products and their
similarity: `product_catalogue`.
"""
