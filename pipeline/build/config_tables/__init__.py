"""`breakeven.yaml` as dated tables: every version that was landed, each row valid from when it was said.

Three ways to say since when something is so. An undated edit: since the day it landed. A `from:` or `to:` of the entry
itself: since that day. `breakeven amend`: all that breakeven.yaml said when it was amended, since a past day.
"""
