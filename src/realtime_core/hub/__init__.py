"""Broadcast to viewers, and what late comers get."""
