"""Product similarity: for each approved product those that are most like it.

`workload` holds the contract together, `judging` says what a good answer is where nobody clicks,
`similar_products` answers. What a product is and how two are compared: `product_catalogue`.
"""
