"""How a ledger of each version becomes one of the next, as Alembic runs it."""
