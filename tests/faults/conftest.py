"""Faults are tried on the same whole system as everything else from end to end."""

from tests.e2e.conftest import clean_environment, ffmpeg, river

__all__ = ["clean_environment", "ffmpeg", "river"]
