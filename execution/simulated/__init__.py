"""A simulated terminal with the functions, types and manners of the official `MetaTrader5` module."""

from execution.simulated.ledger import SimulatedAccount
from execution.simulated.module import SimulatedMT5
from execution.simulated.specs import default_spec
from execution.simulated.terms import BrokerTerms, default_terms

__all__ = ["BrokerTerms", "SimulatedAccount", "SimulatedMT5", "default_spec", "default_terms"]
