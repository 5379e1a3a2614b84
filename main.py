"""Starts the daemon, or one of its commands: `python main.py --help`."""

import sys

from utils.cli import start

if __name__ == "__main__":
    sys.exit(start())
