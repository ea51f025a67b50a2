"""Events about cases that more than the alerts read."""

# Somebody did what a case recommends; its body holds the case's facts, `by`, and `done_at`.
CASE_DONE = "case.done"
