"""Where the arrays and numbers are that code holds or takes, and whose gradient is whose.

`places` finds them in objects, `structures` in arguments, `variables` behind functions. `names` and
`pairs` say which gradient belongs to which value, `returned` does so for what backward returned.
"""
