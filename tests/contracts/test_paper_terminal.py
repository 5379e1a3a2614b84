"""Paper trading keeps the contract of the module, though the terminal below it never trades."""

import numpy as np
import pytest

from tests.contracts.terminal_contract import TerminalContract
from tests.fakes_paper import PaperModule
from tests.fakes_simulated import make_bars, make_terminal


class TestPaperTerminal(TerminalContract):
    @pytest.fixture(autouse=True)
    def _book(self, tmp_path):
        self.path, self.made = tmp_path / "paper.db", []
        yield
        for module in self.made:
            module.terminal.close()

    def make(self):
        closes = np.round(1.1 + 0.001 * np.sin(np.arange(80) / 7.0), 5)
        opens = np.concatenate(([1.1], closes[:-1]))
        rows = np.stack((opens, np.maximum(opens, closes) + 0.0001, np.minimum(opens, closes) - 0.0001, closes), axis=1)
        self.made.append(PaperModule(make_terminal(make_bars(np.round(rows, 5), volume=12), history=60), self.path))
        return self.made[-1]
