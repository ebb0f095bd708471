"""Orchestration and data: everything that Dagster knows. Start at `definitions.py`."""
