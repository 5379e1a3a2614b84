"""Execution: orders, risk, and the terminals that carry them out."""
