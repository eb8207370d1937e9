"""What the service costs and how late it is, side by side with what it replaces."""
