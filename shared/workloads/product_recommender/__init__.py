"""Product recommender: products like a product, products for a customer, popular products.

`records` reads events, `rows` keeps them as columns, `features` makes user profiles and item
neighbours, `model` weighs the parts, `evaluation` scores, `serving_state` is what a version keeps,
`serving` answers, `workload` wires them. Products and their similarity: `product_catalogue`.
"""
