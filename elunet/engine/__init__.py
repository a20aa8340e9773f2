"""What the speed rests on: memory that is reused, threads, deferred work, a plan for a pass.

Arrays and callables go in; nothing here knows what a layer is. `elunet.layers.spans` and
`elunet.network` are the only callers.
"""
