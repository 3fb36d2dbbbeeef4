"""The console: pages for people over what the API already knows. Imported at the first page."""
