"""The whole system, broken at random times in random ways, and a judge of what was lost."""
