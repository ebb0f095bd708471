"""How good a model is: queries, baselines, metrics, slices and the report."""
