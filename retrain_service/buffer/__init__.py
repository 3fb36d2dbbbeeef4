"""Keep the local copy of a model's streams right."""
