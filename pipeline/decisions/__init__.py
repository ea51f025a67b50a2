"""Nodes that read marts, call the economics and write verdicts; and the graph of this release."""
