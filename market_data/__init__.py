"""Market data: bars, instruments, the clock, and where history comes from."""
