"""The second route: from landing to the published figures in plain Python, sharing no code with the pipeline.

Nothing here imports `pipeline`; only the test that compares the two routes does.
"""
