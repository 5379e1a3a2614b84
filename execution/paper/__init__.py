"""Paper trading: a real terminal's prices, simulated fills, and a book of its own in the home."""

from execution.paper.terminal import PaperTerminal

__all__ = ["PaperTerminal"]
