"""Claimed gradients against differences, at the given values and at others; and what has no claim.

`probe` takes differences, `differences` compares one array, `check` a whole problem.
"""
