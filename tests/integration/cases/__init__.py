"""Records in the shapes that people have, read as a user would: by `check`, `init` and `once`."""
