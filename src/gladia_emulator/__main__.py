"""``python -m gladia_emulator``."""

from gladia_emulator.cli import app

app(prog_name="gladia-emulator")
