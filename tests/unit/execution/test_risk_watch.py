"""The risk watch: it looks around off the way to an order, and an entry meets what it knows."""

from dataclasses import replace
from datetime import timedelta

import pytest

from config.errors import RetryError
from config.settings import FilterSettings, NewsSettings, RiskSettings
from execution.equity_guard import EquityGuard
from execution.risk import Approved, Denied, RiskGate, trading_day_start
from execution.risk_watch import RiskWatch
from market_data.clock import BrokerTime, ManualClock
from market_data.correlation import BarMemory
from market_data.news import NewsDesk
from tests.fakes_risk import LONG, NOW, STATE, AccountBook, Store, held
from tests.fakes_terminal import EURUSD
from tests.unit.market_data.test_correlation import bars, walk

MINUTE = timedelta(minutes=1)


class Records:
    """A journal's day and its newest entries."""

    def __init__(self):
        self.opening, self.entries = (trading_day_start(NOW), 10_000.0), []

    def day_opening(self, start):
        return self.opening if self.opening is not None and self.opening[0] >= start else None

    def entry_before(self, rank):
        return self.entries[-rank] if len(self.entries) >= rank else None


class Windows:
    """Bars of markets that move alike, and of one that does not."""

    def window(self, symbol, count):
        return bars(walk(9 if symbol == "USDJPY" else 1, count), symbol)

    def declare(self, symbol):
        pytest.fail("the watch does not ask what a source records")


class Case:
    """A watch with everything that it looks at."""

    def __init__(self, news=None, filters=None, **risk):
        self.book, self.store, self.clock, self.records = AccountBook(), Store(), ManualClock(NOW), Records()
        self.risk = RiskSettings(**risk)
        self.bars = BarMemory(Windows())
        self.watch = RiskWatch(
            self.risk,
            filters or FilterSettings(),
            terminal=self.book,
            guard=EquityGuard(self.risk.max_drawdown_percent, self.book, self.store, "simulated.1"),
            records=self.records,
            news=NewsDesk(news or NewsSettings(), BrokerTime("America/New_York+7")),
            bars=self.bars,
            clock=self.clock,
        )
        self.gate = RiskGate(self.risk, self.watch)

    def pass_time(self, by=MINUTE):
        self.clock.set(self.clock.now() + by)
        self.watch.after_pass(self.clock.now())

    def review(self, proposal=LONG, **changes):
        state = replace(STATE, account=self.book.account(), positions=self.book.open, **changes)
        return self.gate.review(proposal, state)


@pytest.fixture
def case():
    return Case()


def test_a_quiet_account_may_enter_before_the_first_look_and_after_it(case):
    assert isinstance(case.review(), Approved)
    case.pass_time()
    assert isinstance(case.review(), Approved)


def test_it_looks_around_once_a_minute_of_market_time(case):
    seen = []
    case.book.positions = lambda symbol=None: seen.append(case.clock.now()) or ()
    for _ in range(12):
        case.pass_time(timedelta(seconds=15))
    assert len(seen) == 3


def test_a_clock_that_jumped_back_does_not_blind_it(case):
    case.pass_time()
    case.watch.after_pass(NOW - timedelta(days=1))
    assert case.watch._looked == NOW - timedelta(days=1)


def test_a_fall_between_two_looks_stops_the_next_entry_and_all_that_follow(case):
    case.pass_time()
    case.book.equity = 8_999.0
    assert case.review(day_equity=8_999.0).rule == "drawdown"
    case.book.equity = 10_000.0
    assert case.review().rule == "drawdown"
    assert case.watch.tripped
    case.watch.reset()
    assert isinstance(case.review(), Approved)


def test_a_fall_without_any_entry_is_seen_too(case):
    case.pass_time()
    case.book.equity = 8_999.0
    case.pass_time()
    assert case.watch.tripped


def test_a_deposit_just_before_an_entry_does_not_hide_the_days_loss(case):
    case.pass_time()
    case.book.trade(-250.0, case.clock.now())
    case.book.pay(5_000.0, case.clock.now())
    verdict = case.review()
    assert (verdict.rule, verdict.detail[:6]) == ("daily_loss", "2.50 %")


def test_a_deposit_before_the_days_equity_was_noted_is_in_it_already(case):
    case.book.pay(5_000.0, NOW - timedelta(hours=5))
    case.records.opening = (NOW - timedelta(hours=1), 15_000.0)
    case.pass_time()
    assert case.watch.report(case.clock.now())["day_loss_percent"] == 0.0
    assert isinstance(case.review(day_equity=15_000.0), Approved)


def test_without_a_day_the_loss_is_unknown_and_refused(case):
    case.records.opening = None
    assert case.review().rule == "daily_loss"
    assert case.watch.report(NOW)["day_loss_percent"] is None


def test_a_terminal_that_does_not_answer_is_no_approval(case):
    state = replace(STATE, account=case.book.account())
    case.book.failing = True
    with pytest.raises(RetryError):
        case.gate.review(LONG, state)
    case.pass_time()  # and it does not end the loop
    assert case.watch.report(case.clock.now())["exposure"] == {}


def test_an_unknown_account_is_refused(case):
    assert isinstance(case.gate.review(LONG, replace(STATE, account=None)), Denied)


def test_correlation_comes_from_the_windows_that_the_loop_has_read():
    case = Case(max_correlated_positions=1)
    case.book.open = (held(1, "USDJPY", volume=0.01),)
    assert case.review().detail.startswith("one bet with 1 positions (USDJPY unknown)")
    for symbol in ("EURUSD", "USDJPY", "GBPUSD.m"):
        case.bars.window(symbol, 220)
    assert isinstance(case.review(), Approved)
    case.book.open = (held(1, "GBPUSD.m", volume=0.01),)
    assert case.review().detail.startswith("one bet with 1 positions (GBPUSD.m +1.00)")


def test_symbols_of_held_positions_are_described_off_the_way_to_an_order(case):
    case.book.open = (held(1, "USDJPY", volume=0.01), held(2, "EURUSD", volume=0.01))
    case.pass_time()
    case.book.spec = lambda symbol: pytest.fail(f"asked for {symbol} at the entry")
    several = replace(STATE, account=case.book.account(), positions=case.book.open)
    assert set(case.watch.scene(LONG, several).specs) == {"USDJPY", "EURUSD"}
    assert case.watch.scene(LONG, several).specs["EURUSD"] is LONG.spec


def test_a_runaway_is_stopped_and_may_go_on_an_hour_later():
    case = Case(max_orders_per_hour=3)
    case.records.entries = [NOW - timedelta(minutes=m) for m in (61, 40, 20)]
    assert isinstance(case.review(), Approved)
    case.records.entries.append(NOW - timedelta(minutes=1))
    assert case.review().rule == "order_rate"
    case.pass_time(timedelta(minutes=20))
    assert isinstance(case.review(), Approved)


@pytest.mark.parametrize(("currency", "blocked"), [("USD", True), ("XAU", True), ("EUR", False)])
def test_news_of_either_leg_of_a_suffixed_symbol_keeps_it_out(tmp_path, currency, blocked):
    path = tmp_path / "news.csv"
    path.write_text(f"time,currency,impact,title\n{NOW.isoformat()},{currency},high,Event\n", encoding="utf-8")
    case = Case(news=NewsSettings(news_file=path))
    gold = replace(LONG, spec=replace(EURUSD, name="XAUUSD.pro", currency_base="USD"))
    verdict = case.review(gold)
    assert (isinstance(verdict, Denied) and verdict.rule == "news_window") == blocked


def test_the_report_tells_the_risk_state(case, tmp_path):
    path = tmp_path / "news.csv"
    path.write_text("time,currency,impact,title\n2024-01-11T13:30:00Z,USD,high,CPI\n", encoding="utf-8")
    case = Case(news=NewsSettings(news_file=path))
    case.pass_time()
    case.book.open = (held(1, "EURUSD", volume=0.1),)
    case.book.equity = 9_900.0
    case.pass_time()
    assert case.watch.report(case.clock.now()) == {
        "kill_switch": "",
        "drawdown_percent": 1.0,
        "max_drawdown_percent": 10.0,
        "day_loss_percent": 1.0,
        "daily_loss_percent": 2.0,
        "exposure": {"EUR": 11_000.0, "USD": -11_000.0},
        "session": "open",
        "news_next": "USD 'CPI' (high) at 2024-01-11 13:30 UTC",
        "news_problem": None,
    }


@pytest.mark.parametrize(
    ("hours", "filters", "told"),
    [
        (0, {}, "open"),
        (0, {"trading_sessions": "London 08:00-17:00"}, "open: Europe/London 08:00-17:00"),
        (8, {"trading_sessions": "London 08:00-17:00"}, "closed: outside Europe/London 08:00-17:00"),
        (9.5, {}, "closed: 16:00 in New York is blocked"),
        (105.75, {"blocked_hours": ()}, "closed: weekend"),
    ],
)
def test_the_report_tells_whether_the_clock_lets_entries_through(hours, filters, told):
    case = Case(filters=FilterSettings(**filters))
    assert case.watch.report(NOW + timedelta(hours=hours))["session"] == told


class TestBooksThatSayWhenTheyChange:
    @pytest.fixture
    def case(self):
        made = Case()
        made.revision, made.asked = 1, []
        made.watch._revision = lambda: made.revision
        read = made.book.account
        made.book.account = lambda: made.asked.append(made.clock.now()) or read()
        return made

    def test_without_positions_one_look_is_enough_until_they_change(self, case):
        for _ in range(5):
            case.pass_time()
        assert len(case.asked) == 1
        case.book.trade(-1_500.0, case.clock.now())
        case.book.equity, case.revision = 8_500.0, 2
        case.pass_time()
        assert case.watch.tripped

    def test_money_paid_in_is_still_looked_for_once_an_hour(self, case):
        case.pass_time()
        searched = case.book.searches
        for _ in range(61):
            case.pass_time()
        assert case.book.searches == searched + 1

    def test_with_a_position_equity_moves_and_is_followed(self, case):
        case.book.open = (held(1, "EURUSD"),)
        case.pass_time()
        case.pass_time()
        assert len(case.asked) == 2


def test_it_has_nothing_to_do_before_the_next_search_while_no_book_changes(case):
    case.pass_time()
    assert case.watch.quiet_until(case.clock.now()) == case.clock.now()  # these books do not say when they change
    revision = [1]
    case.watch._revision = lambda: revision[0]
    case.pass_time()
    case.pass_time()
    looked = case.clock.now()
    assert looked < case.watch.quiet_until(looked) <= looked + timedelta(hours=1)
    revision[0] += 1
    assert case.watch.quiet_until(looked) == looked


def test_positions_are_read_again_when_a_book_has_changed(case):
    seen, revision = [], [1]
    case.book.positions = lambda symbol=None: seen.append(case.clock.now()) or (held(1, "EURUSD"),)
    case.watch._revision = lambda: revision[0]
    for _ in range(3):
        case.pass_time()
    assert len(seen) == 1
    revision[0] += 1
    case.pass_time()
    assert len(seen) == 2
    case.watch._revision = lambda: None
    case.pass_time()
    case.pass_time()
    assert len(seen) == 4
