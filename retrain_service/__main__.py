"""`python -m retrain_service`: hand over to the command line."""

from __future__ import annotations

from retrain_service.cli import main

if __name__ == "__main__":
    main()
