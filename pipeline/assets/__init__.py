"""Dagster assets, one file a stage. They call the same functions as everything else and add what a person reads."""
