"""breakeven: what every LLM token really cost, and when it becomes cheaper to fill, release, switch or buy."""

__version__ = "0.1.0"
