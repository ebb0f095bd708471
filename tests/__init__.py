"""Tests, by part of the project."""
