"""What a person has judged of a table's columns: ranges, shares, what holds for some rows alone.

A Great Expectations suite per table, in GX's own JSON; what follows from the columns themselves is
added when it is read (`convcg_assets/builds/suite_content.py`).

`meta.id_columns` names the columns that a failing check shows of an offending row. What several
tables must agree on belongs to their entries in `convcg_assets/tables/`.
"""
