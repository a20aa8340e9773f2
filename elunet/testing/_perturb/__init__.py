"""Running code at changed values, each time from the same state, and leaving it as it was.

`problem` is the common form of all checks; the runs convert layers and functions to it.
"""
