"""Map the records of foreign applications to the fields that a workload reads."""
