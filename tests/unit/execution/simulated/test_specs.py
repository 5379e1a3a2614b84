import pytest

from config.errors import DataError
from execution.simulated.specs import default_spec


@pytest.mark.parametrize(
    ("symbol", "digits", "contract", "currencies"),
    [
        ("EURUSD", 5, 100_000, ("EUR", "USD", "EUR")),
        ("EURUSDm", 5, 100_000, ("EUR", "USD", "EUR")),
        ("#gbpjpy.pro", 3, 100_000, ("GBP", "JPY", "GBP")),
        ("EUR/GBP", 5, 100_000, ("EUR", "GBP", "EUR")),
        ("XAUUSD.r", 2, 100, ("XAU", "USD", "USD")),
        ("GOLD", 2, 100, ("XAU", "USD", "USD")),
        ("XAGUSD", 3, 5_000, ("XAG", "USD", "USD")),
        ("US100Cash#", 2, 1, ("USD", "USD", "USD")),
        ("GER40", 2, 1, ("EUR", "EUR", "EUR")),
        ("BTCUSD", 2, 1, ("BTC", "USD", "USD")),
    ],
)
def test_plausible_specifications(symbol, digits, contract, currencies):
    spec = default_spec(symbol)
    assert (spec.name, spec.digits, spec.contract_size) == (symbol, digits, contract)
    assert (spec.currency_base, spec.currency_profit, spec.currency_margin) == currencies
    assert spec.point == spec.tick_size == round(10.0**-digits, digits)
    assert spec.problems() == ()


def test_tick_values_are_in_account_currency():
    assert default_spec("EURUSD").tick_value_loss == pytest.approx(1.0)
    assert default_spec("USDJPY").tick_value_loss == pytest.approx(0.68)
    assert default_spec("EURUSD", currency="EUR").tick_value_loss == pytest.approx(1 / 1.10)


def test_gold_with_three_decimals():
    spec = default_spec("XAUUSD", digits=3)
    assert (spec.point, spec.tick_value_loss) == (0.001, pytest.approx(0.1))


def test_unknown_names_and_currencies_are_refused_by_name():
    with pytest.raises(DataError, match="FOOBAR: no known"):
        default_spec("FOOBAR")
    with pytest.raises(DataError, match="EURUSD: no rough rate of the account currency XYZ"):
        default_spec("EURUSD", currency="XYZ")
