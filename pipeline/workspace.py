"""What `workspace.yaml` loads: the definitions of the project named by BREAKEVEN_PROJECT."""

from pipeline.definitions import build_definitions

defs = build_definitions()
