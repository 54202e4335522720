"""Files of rows: when they should come, what they should hold, and how their rows are read."""
