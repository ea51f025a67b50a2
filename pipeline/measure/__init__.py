"""What a served model sustains within a service level, measured with the lengths of a workload's own requests."""
