"""All workers go to a new version at one instant.

Each worker opens and warms it (`worker_side`) and says so to the main process (`line`, `messages`);
there the `coordinator` decides by its `policy` and flips one number on the `board`.
"""
