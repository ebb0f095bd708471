"""What is kept: Delta tables, digests of their rows, and the ledger of how they came about."""
