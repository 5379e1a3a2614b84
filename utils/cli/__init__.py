"""The command line; `python main.py` alone is `run`.

Modules of this package import nothing heavy at their top: `--help` must answer at once.
"""

from utils.cli.application import app, start

__all__ = ["app", "start"]
