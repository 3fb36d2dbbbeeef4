"""The OpenAPI document of the whole API: made from the routes themselves at its first request.

Nothing of this is imported before that, so that the start of a worker pays nothing for it.
"""
