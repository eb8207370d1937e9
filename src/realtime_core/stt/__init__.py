"""Speech-to-text: the bridge to Gladia Live v2."""
