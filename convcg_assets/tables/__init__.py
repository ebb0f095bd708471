"""One file per table: its columns, what it is built from, its rows and its checks. No I/O."""
