"""Tests, by part of the deployment."""
