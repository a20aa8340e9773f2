"""Running code at changed values, each time from the same state, and leaving it as it was.

`problem` is the form that each check is brought to; the runs bring layers and functions to it.
"""
