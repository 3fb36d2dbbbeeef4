"""Read the values of foreign documents: fields, times, numbers, ids and texts."""
