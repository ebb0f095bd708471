"""A landed file becomes typed rows, or an error that names file, row and remedy."""
