"""What elunet keeps on disk: files that are complete or absent, checked on reading, without code.

One module per idea: `files` (atomic writes), `fingerprints` (SHA-256 of arrays), `trees` (plain
data), `archive` (arrays and a note in one file), `tables` (CSV of dataclasses), `settings` (what a
folder belongs to), `weights` (a network's arrays).
"""
