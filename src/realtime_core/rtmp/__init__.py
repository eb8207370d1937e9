"""RTMP ingest, the publish side: a sans-I/O codec and an asyncio shell."""
