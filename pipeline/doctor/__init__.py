"""What `breakeven doctor` looks at: sources, landing, formats, cache, disk, Slack, laws, and what maps to nothing."""
