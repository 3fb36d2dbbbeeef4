"""Products: what a shop's documents say, and how alike two products are. No workload of its own.

Both product workloads stand on it and neither on the other. `product_documents` reads odd
documents, `catalogue` holds what is shown, `texts` and `similarity` compare while training,
`neighbours` are looked up while serving, `requests` decodes what clients send.
"""
