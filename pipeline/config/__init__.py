"""`breakeven.yaml`: who is who, what serves what, and at which declared rates. Facts only a person knows.

The file a person edits now is read by `file` and held to every rule of `rules`. A version that was landed before is
read by `landed`: rules change, what was said under older ones stays said.
"""
