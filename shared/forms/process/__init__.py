"""A scikit-learn estimator in a process of its own."""
