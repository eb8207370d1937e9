"""HTTP, WebSocket and the viewer page."""
