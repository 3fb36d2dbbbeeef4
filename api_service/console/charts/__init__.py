"""Charts of the console: SVG made on the server, with axes, units and the numbers as a table."""
