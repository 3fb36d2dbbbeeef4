"""Pictures for the console: SVG made on the server, with axes, units and the numbers as a table.

Values in, markup out. Colours and fonts come from the style sheet; no picture needs a script.
"""
