"""Make the fastest form that answers like the estimator."""
