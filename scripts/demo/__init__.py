"""Synthetic data for each workload."""
