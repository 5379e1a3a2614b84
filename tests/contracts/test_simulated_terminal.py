"""The simulated terminal keeps the contract of the module."""

import numpy as np

from tests.contracts.terminal_contract import TerminalContract
from tests.fakes_simulated import make_bars, make_terminal


class TestSimulatedTerminal(TerminalContract):
    def make(self):
        closes = np.round(1.1 + 0.001 * np.sin(np.arange(80) / 7.0), 5)
        opens = np.concatenate(([1.1], closes[:-1]))
        rows = np.stack((opens, np.maximum(opens, closes) + 0.0001, np.minimum(opens, closes) - 0.0001, closes), axis=1)
        return make_terminal(make_bars(np.round(rows, 5), volume=12), history=60)
