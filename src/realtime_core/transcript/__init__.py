"""Drafts, finals and speakers; pure."""
