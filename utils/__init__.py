"""The shell of the process: what stores, retrains, shows and starts the trading core."""
