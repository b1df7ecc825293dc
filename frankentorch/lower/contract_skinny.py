"""Products with few rows."""
MAX_ROWS = 8
