"""How anybody's code is called: its passes, functions or losses, as their signatures say."""
