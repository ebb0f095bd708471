"""What lies in deploy/, against what the code has."""
