"""What keeps the bench from measuring."""

from __future__ import annotations


class BenchError(Exception):
    """A part of the bench did not do what it has to; the message is for people."""


class Unavailable(BenchError):
    """A server cannot be run on this machine: something is missing, which the message names."""


class NotStarted(BenchError):
    """A server was run, and did not become ready or would not start its sessions."""
