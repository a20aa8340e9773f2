"""Find the arrays and numbers that code holds or takes, and match gradients with values.

`places` finds them in objects, `structures` in arguments, `variables` behind functions. `names` and
`pairs` say which gradient belongs to which value, `returned` does so for what backward returned.
"""
