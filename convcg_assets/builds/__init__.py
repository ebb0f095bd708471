"""Building days of tables, and finding the days that are stale. Knows nothing of Dagster."""
