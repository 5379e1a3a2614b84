from execution.simulated.functions import FUNCTIONS


def test_there_are_32_functions():
    assert len(set(FUNCTIONS)) == len(FUNCTIONS) == 32
