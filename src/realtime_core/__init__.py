"""Live captions with speakers' names: RTMP in, WebSocket and PostgreSQL out."""
