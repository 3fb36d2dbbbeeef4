"""Read-only views of models, versions, runs and workers."""
