"""A history finds what is asked for, in the order of booking, and looks at nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.paper.account import PaperAccount
from execution.paper.book import PaperBook
from execution.simulated.history import past_deals, past_orders
from execution.simulated.ledger import order_record
from tests.fakes_simulated import MONDAY, OFFSET, flat, make_bars, make_terminal, order, pend

NOW = MONDAY + OFFSET
records = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4), st.integers(0, 4)), max_size=30)


def order_of(time, ticket, position):
    return order_record({"time_setup_msc": time * 1000, "time_done_msc": 0, "ticket": ticket, "position_id": position})


class Counted(list):
    """Records that notice who looks at them."""

    looked = 0

    def __getitem__(self, index):
        found = super().__getitem__(index)
        self.looked += len(found) if isinstance(index, slice) else 1
        return found

    def __iter__(self):
        for record in super().__iter__():
            self.looked += 1
            yield record


def watched(history):
    history._records = Counted(history._records)
    return history._records


@given(records, st.integers(-1, 10), st.integers(-1, 10))
def test_it_finds_what_a_search_through_all_finds(rows, first, last):
    made = [order_of(*row) for row in rows]
    history = past_orders(made)
    assert history.between(first, last) == tuple(record for record in made if first <= record.time_setup <= last)
    assert history.total(first, last) == len(history.between(first, last))
    assert history.of_ticket(first) == tuple(record for record in made if record.ticket == first)
    assert history.of_position(first) == tuple(record for record in made if record.position_id == first)
    assert list(history) == made
    assert history[2:] == made[2:]


def test_a_deal_is_found_by_its_order():
    terminal = make_terminal(make_bars(flat(1.1, 3)))
    done = order(terminal, volume=0.1)
    deals = past_deals(terminal.history_deals_get(0, 2**33))
    assert [deal.ticket for deal in deals.of_ticket(done.order)] == [done.deal]
    assert deals.of_ticket(done.deal) == ()


TRADES = 1_500


@pytest.fixture(scope="module")
def long_lived():
    """A terminal with thousands of deals, two in each of many minutes."""
    terminal = make_terminal(make_bars(flat(1.1, TRADES + 10)))
    for _ in range(TRADES):
        opened = order(terminal, volume=0.01)
        order(terminal, "sell", volume=0.01, position=opened.order)
        terminal.advance()
    return terminal, opened.order


@pytest.mark.parametrize("kind", ["orders", "deals"])
def test_a_question_costs_what_it_finds_and_not_what_there_is(long_lived, kind):
    terminal, newest = long_lived
    seen = watched(getattr(terminal._ledger, kind))
    get, total = getattr(terminal, f"history_{kind}_get"), getattr(terminal, f"history_{kind}_total")
    for ask, found in (
        (lambda: get(position=newest), 2),
        (lambda: get(ticket=newest), 1),
        (lambda: get(NOW + 300, NOW + 359), 2),
        (lambda: get(NOW + 300, NOW + 359, group="*JPY*"), 0),
        (lambda: get(ticket=5), 0),
    ):
        seen.looked = 0
        assert len(ask()) == found
        assert seen.looked <= 2
    seen.looked = 0
    assert total(0, 2**33) == len(seen) >= 2 * TRADES
    assert seen.looked == 0


def test_what_a_minute_adds_is_saved_without_a_look_at_the_rest(long_lived):
    terminal, _ = long_lived
    seen = watched(terminal._ledger.deals)
    order(terminal, volume=0.01)
    assert seen.looked == 1


def test_orders_that_ended_late_stand_where_they_ended_and_are_found_by_their_set_up():
    terminal = make_terminal(make_bars(flat(1.1, 6)))
    early = pend(terminal, "BUY_LIMIT", 1.09)
    terminal.advance()
    later = order(terminal, volume=0.1)
    terminal.order_send({"action": terminal.TRADE_ACTION_REMOVE, "order": early.order})
    assert [found.ticket for found in terminal.history_orders_get(0, 2**33)] == [later.order, early.order]
    assert [found.ticket for found in terminal.history_orders_get(NOW + 60, NOW + 119)] == [early.order]
    assert terminal.history_orders_total(NOW + 60, NOW + 119) == 1


def test_a_book_that_is_taken_up_again_is_found_through(tmp_path):
    for _ in range(2):
        terminal = make_terminal(make_bars(flat(1.1, 6)), book=tmp_path / "broker.db")
        done = order(terminal, volume=0.1)
        terminal.close()
    again = make_terminal(make_bars(flat(1.1, 6)), book=tmp_path / "broker.db")
    assert [deal.ticket for deal in again.history_deals_get(position=done.order)] == [done.deal]
    assert again.history_deals_total(0, 2**33) == 3
    again.close()


def test_paper_trades_are_found_likewise(tmp_path):
    book = PaperBook(tmp_path / "paper.db")
    account = PaperAccount(book, currency="USD", opening=1_000.0, time_msc=NOW * 1000, commission=0.0)
    seen = watched(account.deals)
    assert account.deals.total(NOW, NOW) == 1
    assert (seen.looked, account.deals.of_position(7)) == (0, ())
    book.close()
