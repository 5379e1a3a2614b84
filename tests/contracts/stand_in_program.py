"""The checklist on the stand-in package; runs in a process of its own, as a program of its own."""

from tests.contracts.module_checklist import ModuleChecklist


class TestStandIn(ModuleChecklist):
    def make(self):
        import MetaTrader5

        MetaTrader5.initialize()
        for position in MetaTrader5.positions_get() or ():
            MetaTrader5.Close(position.symbol, ticket=position.ticket)
        return MetaTrader5
