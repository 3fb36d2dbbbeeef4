"""Products: what a shop's documents say, and how alike two products are. No workload of its own.

Both product workloads import it and neither imports the other. `records` reads documents,
`catalogue` holds what answers show, `text_vectors` and `similarity` compare while training,
`neighbours` are looked up while serving, `requests` decodes the requests of clients.
"""
