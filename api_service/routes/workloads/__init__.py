"""Routes of single workloads."""
