"""Files of elunet: each is complete or absent, is checked when it is read, and contains no code.

One module per idea: `files` (atomic writes), `fingerprints` (SHA-256 of arrays), `trees` (plain
data), `archive` (arrays and a note in one file), `tables` (CSV of dataclasses), `settings` (what a
folder belongs to), `weights` (a network's arrays).
"""
