"""Finals to PostgreSQL, through a journal; nothing is lost."""
