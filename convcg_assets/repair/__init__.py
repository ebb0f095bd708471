"""Exact repair: what each derived day is built from, which days differ from it, what to rebuild.

Knows nothing of Dagster; `defs/automation.py` and `repair_job.py` act on what is found here.
"""
