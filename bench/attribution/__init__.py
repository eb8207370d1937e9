"""Simulated meetings whose speakers are known, and how many of their words get the right name."""
