"""Read an HTTP export endpoint."""
