"""Decisions: functions from what is desired and observed to what to do. No clock, no I/O, no randomness."""
