"""``python -m realtime_core`` is ``realtime-core``."""

from realtime_core.cli import app

app(prog_name="realtime-core")
