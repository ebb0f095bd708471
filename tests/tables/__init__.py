"""The transforms against brute force, over time and on both engines."""
