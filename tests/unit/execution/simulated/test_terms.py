from datetime import UTC, datetime

import pytest

from execution.simulated import default_spec, default_terms
from execution.simulated.terms import PAUSED, BrokerTerms, week
from tests.fakes_simulated import flat, make_bars, make_quotes, make_terminal, order, pend

DAY = (((0, 1440),),)


def at(day, hour, minute=0):
    """Milliseconds of a January day in New York winter time; the trading day's clock is 7 h on."""
    return int(datetime(2024, 1, day, hour, minute, tzinfo=UTC).timestamp()) * 1000


@pytest.mark.parametrize(
    ("symbol", "mode", "long", "short", "triple"),
    [
        ("EURUSDm", 1, -5.0, -2.0, 3),
        ("USDJPY", 1, -5.0, -2.0, 3),
        ("XAUUSD.r", 1, -15.0, -3.0, 3),
        ("US500", 5, -5.0, -2.0, 3),
        ("BTCUSD", 5, -15.0, -5.0, 0),
    ],
)
def test_the_usual_terms_charge_a_little_on_both_sides(symbol, mode, long, short, triple):
    terms = default_terms(default_spec(symbol))
    assert (terms.swap_mode, terms.swap_long, terms.swap_short, terms.triple_day) == (mode, long, short, triple)
    assert terms.problems() == ()
    assert terms.sessions == ()


def test_points_follow_the_digits():
    assert default_terms(default_spec("EURUSD", digits=4)).swap_long == -0.5
    assert default_terms(default_spec("XAUUSD", digits=3)).swap_long == -150.0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"swap_mode": 9}, "swap_mode is 9"),
        ({"swap_long": float("nan")}, "swap_long is nan"),
        ({"swap_nights": (1, 1)}, "7 numbers"),
        ({"sessions": DAY}, "7 days"),
        ({"sessions": week(((60, 30),))}, "7 days"),
        ({"sessions": week(((0, 1500),))}, "7 days"),
        ({"sessions": week(((0, 600), (500, 700)))}, "7 days"),
        ({"spread_by_hour": (1.0,)}, "24 numbers"),
        ({"margin_hedged": -1.0}, "margin_hedged is -1.0"),
    ],
)
def test_impossible_terms_are_named(changes, says):
    (problem,) = BrokerTerms(**changes).problems()
    assert says in problem


@pytest.mark.parametrize(
    ("instant", "open_"),
    [
        (at(9, 21, 59), False),
        (at(9, 21, 58), True),
        (at(9, 23, 0), False),
        (at(9, 23, 1), True),
        (at(13, 12), False),
        (at(14, 23, 1), True),
    ],
)
def test_sessions_are_those_of_the_new_york_trading_day(instant, open_):
    assert BrokerTerms(sessions=PAUSED).in_session(instant) is open_
    assert BrokerTerms().in_session(instant)


def gold(kind, **options):
    """Gold through its daily pause (22:00 to 23:00 UTC), in which it falls; bars or quotes, one a minute."""
    start = at(9, 21, 50) // 1000
    prices = [2000.0 if minute < 10 or minute > 75 else 1980.0 for minute in range(90)]
    if kind == "bars":
        history = make_bars([(price,) * 4 for price in prices], symbol="XAUUSD", start=start)
    else:
        history = make_quotes([(60 * at_, price, price + 0.1) for at_, price in enumerate(prices)], "XAUUSD", start)
    return make_terminal(history, terms=BrokerTerms(sessions=PAUSED), **options)


@pytest.mark.parametrize("kind", ["bars", "quotes"])
def test_out_of_session_nothing_is_traded_and_nothing_triggers(kind):
    terminal = gold(kind)
    ticket = order(terminal, volume=0.1, symbol="XAUUSD", sl=1990.0).order
    for _ in range(12):
        terminal.advance()
    assert terminal.symbol_info_tick("XAUUSD").bid == 1980.0
    assert terminal.positions_total() == 1
    assert order(terminal, volume=0.1, symbol="XAUUSD").retcode == 10018
    assert pend(terminal, "BUY_LIMIT", 1970.0, symbol="XAUUSD").retcode == 10018
    for _ in range(59):
        terminal.advance()
    (deal,) = terminal.history_deals_get(position=ticket)[1:]
    assert (deal.price, deal.reason) == (1980.0, 4)
    assert order(terminal, volume=0.1, symbol="XAUUSD").retcode == 10009


def test_a_profile_serves_data_without_spreads_alone():
    profile = tuple(float(hour) for hour in range(24))
    bare, known = make_bars(flat(1.1, 4), spread=None), make_bars(flat(1.1, 4), spread=9.0)
    ask = make_terminal(bare, terms=BrokerTerms(spread_by_hour=profile)).symbol_info_tick("EURUSD").ask
    assert ask == pytest.approx(1.1 + 5e-5)  # 10:00 UTC is 5:00 in New York
    assert make_terminal(known, terms=BrokerTerms(spread_by_hour=profile)).symbol_info_tick("EURUSD").ask == pytest.approx(1.10009)
