"""Ibis expressions, tables in and tables out: no I/O, no Dagster, nothing of one engine alone."""
