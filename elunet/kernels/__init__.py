"""Compiled loops: functions from arrays to arrays, which know nothing of layers.

Each works on the images or rows that it is given and writes into an array that it is given, so a
caller decides about memory and threads. Shapes are checked by the callers: a kernel that writes
past an array's end does so silently.
"""
