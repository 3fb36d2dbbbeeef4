"""hotfit.toml and HOTFIT_* variables become one frozen Settings."""
