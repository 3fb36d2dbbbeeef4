"""The release of Hotfit, as every part of the API names it. A test compares it with pyproject.toml.

A constant, because the code runs from its folder, in which no package is installed.
"""

RELEASE = "0.1.0"
