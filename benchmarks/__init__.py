"""Measures the packages; no part of them."""
