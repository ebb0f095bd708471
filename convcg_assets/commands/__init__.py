"""The command `convcg`."""
