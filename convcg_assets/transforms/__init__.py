"""Ibis expressions, tables in and tables out: no I/O, no Dagster, nothing that one engine alone knows."""
