"""`python -m nerv` is the `nerv` command."""

from __future__ import annotations

from nerv.cli import main

if __name__ == "__main__":
    main()
