"""Words that contracts and bills name prices by: token classes, how they can be bought, and whose."""

# What is counted and priced apart, of any provider, and how it can be bought.
TOKEN_CLASSES = frozenset(
    {
        "input_uncached", "input_uncached_audio", "input_cache_read", "input_cache_read_audio",
        "input_cache_write_5m", "input_cache_write_30m", "input_cache_write_1h", "input_cache_write_12h",
        "output", "output_audio", "output_image",
    }
)  # fmt: skip
PRICE_MODES = frozenset({"standard", "batch", "fast", "flex", "priority", "scale"})
# Whose bills are read, or whose list prices are known.
PROVIDERS = frozenset({"anthropic", "cerebras", "fireworks", "groq", "openai", "together"})
