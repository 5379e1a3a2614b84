from execution.simulated import constants
from execution.terminal import LAST_ERRORS, Execution


def test_there_are_223_and_they_agree_with_those_the_daemon_uses():
    assert len(constants.CONSTANTS) == 223
    own = {name: value for name, value in vars(Execution).items() if name.isupper() and not name.startswith("SYMBOL_FILLING")}
    assert own == {name: constants.CONSTANTS[name] for name in own}


def test_every_last_error_is_known_to_the_daemon():
    assert {value for name, value in constants.CONSTANTS.items() if name.startswith("RES_")} == set(LAST_ERRORS)


def test_a_sample_of_values():
    assert (constants.TIMEFRAME_H4, constants.TIMEFRAME_MN1, constants.COPY_TICKS_ALL) == (16388, 49153, -1)
    assert (constants.TRADE_RETCODE_DONE, constants.DEAL_TAX) == (10009, 17)
