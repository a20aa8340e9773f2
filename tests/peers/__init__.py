"""Samples of other libraries' own tests, computed by elunet; see `__main__.py`."""
