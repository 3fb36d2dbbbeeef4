"""Product recommender: what goes with a product, what suits a customer, what everybody wants.

`workload` holds the contract together; `interactions` reads odd events, `visits` keeps who did
what when, `taste` turns that into histories and item neighbours, `blend` weighs the parts,
`ranking_test` judges, `recommendations` answers. Products and how they are compared:
`product_catalogue`.
"""
