"""What a table's columns may hold: a Great Expectations suite per table, in GX's own JSON.

`meta.id_columns` names the columns that a failing check shows of an offending row. What several
tables must agree on belongs to `convcg_assets/transforms/consistency.py`.
"""
