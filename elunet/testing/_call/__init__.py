"""Calls of any code's passes, functions or losses, as their signatures require."""
