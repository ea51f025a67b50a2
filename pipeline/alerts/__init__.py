"""Say what changed, to the people who must act, once: case.py (what to say), outbox.py (say it once), slack.py."""
