"""The in-memory recorder keeps the recorders' contract, so tests that use it are right."""

from tests.contracts.recorder_contract import RecorderContract
from tests.fakes_recorder import ListRecorder


class TestListRecorder(RecorderContract):
    def make(self, tmp_path, clock):
        return ListRecorder(clock)
