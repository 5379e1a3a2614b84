"""The terminal of a replay: one answer to a question while nothing can have changed."""

from datetime import UTC, datetime

from execution.terminal import PlayedTerminal, Request
from tests.fakes_simulated import flat, make_bars, make_terminal, order


class Counted:
    """A simulated module that counts what it is asked."""

    def __init__(self, module):
        self.module, self.asked = module, []

    def __getattr__(self, name):
        if name not in ("clock", "revision", "last_error"):
            self.asked.append(name)
        return getattr(self.module, name)


def served():
    module = Counted(make_terminal(make_bars(flat(1.1, 30))))
    return module, PlayedTerminal(module)


def ask(terminal, function, *args, **kwargs):
    return terminal.call(Request(function, args, kwargs)).value


def test_it_asks_once_while_time_stands_still():
    module, terminal = served()
    for _ in range(3):
        ask(terminal, "account_info")
        ask(terminal, "symbol_info", "EURUSD")
        ask(terminal, "positions_get", symbol="EURUSD")
        ask(terminal, "positions_get")
        ask(terminal, "history_deals_get", position=1)
    assert module.asked == ["account_info", "symbol_info", "positions_get", "positions_get", "history_deals_get"]


def test_time_that_passes_makes_it_ask_again():
    module, terminal = served()
    before = ask(terminal, "symbol_info_tick", "EURUSD")
    module.module.advance()
    assert ask(terminal, "symbol_info_tick", "EURUSD").time_msc > before.time_msc


def test_a_change_of_the_books_makes_it_ask_again_whoever_made_it():
    module, terminal = served()
    assert ask(terminal, "positions_get") == ()
    dates = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
    deals = len(ask(terminal, "history_deals_get", *dates))
    order(module.module, volume=0.1)
    assert len(ask(terminal, "positions_get")) == 1
    assert len(ask(terminal, "history_deals_get", *dates)) == deals + 1


def test_whatever_is_no_question_makes_it_forget():
    _, terminal = served()
    assert ask(terminal, "symbol_info", "EURUSD").select
    ask(terminal, "symbol_select", "EURUSD", False)
    assert not ask(terminal, "symbol_info", "EURUSD").select


def test_a_failure_is_not_remembered():
    module, terminal = served()
    for _ in range(2):
        assert ask(terminal, "symbol_info", "NOTHING") is None
    assert module.asked == ["symbol_info"] * 2
