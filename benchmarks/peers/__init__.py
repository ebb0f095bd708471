"""The peers of `make bench-peers`: a small script each, run by an interpreter of its own."""
