"""The load: publishers, a speech-to-text stub and viewers, each a light process of its own."""
