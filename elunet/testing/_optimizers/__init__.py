"""What `check_optimizer` is made of.

`designs` finds how an optimizer is called, `calls` and `params` call it; `run` compares its steps
with those of the update rule and keeps a `record`; `causes` has the `suspects` play it through.
"""
