"""Files: whole or not there, checked when they are read, and nothing in them is code."""
