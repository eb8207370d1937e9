"""AAC in, PCM out."""
