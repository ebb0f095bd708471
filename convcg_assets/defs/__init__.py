"""The assets, one file per group, their checks, resources and jobs: all that knows Dagster."""
