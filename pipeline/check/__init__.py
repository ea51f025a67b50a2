"""`breakeven check`: own numbers before any configuration, from one address or the files at hand."""
