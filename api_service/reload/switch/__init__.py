"""Swap a model in all workers at one moment.

Each worker opens and warms the new version (`participant`) and reports it to the main process
(`channel`, `messages`). There the `coordinator` decides by `policy` and writes the new generation
into the memory that all processes share (`shared_generations`).
"""
