"""What people read: the questions asked of a snapshot, and the month's report."""
