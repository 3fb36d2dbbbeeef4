"""The OpenAPI document of the whole API: made from the routes themselves at its first request.

Only `requests` is imported before that, so that the start of a worker pays little for it.
"""
