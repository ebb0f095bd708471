"""One file per version of the ledger's tables. A file that was released stays as it is."""
