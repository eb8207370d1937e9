"""A local server that speaks Gladia Live v2, for tests and for running without a key."""
