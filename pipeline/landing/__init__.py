"""Deliveries and events, immutable: the only truth."""
