"""`user_persons`: which ids are of one person, as known before day T, and how other tables read it.

A person is all ids that merges join, directly or by way of others, in whatever order and direction
they were reported. Everything that is looked up for a user is the person's; rows keep the id that
the log gave.
"""

import ibis
from ibis import _

from convcg_assets.sources.columns import MERGES, Column, Columns
from convcg_assets.tables.settings import CheckSettings
from convcg_assets.tables.table import Cells, Check, Input, Inputs, Scope, Table

PERSONS = "user_persons"

COLUMNS: Columns = {
    "dt": Column("date", "day T: every merge here arrived before it"),
    "user_id": Column("id:user_id", "an id that has been merged with another", required=True),
    "person_id": Column(
        "id:user_id", "the least id of the person, which stands for all of them", required=True
    ),
}


def persons_sql(first: str, last: str) -> str:
    """SQL of the persons of each day T from the first to the last, which are SQL as well.

    Connected components: every id takes the least id among its neighbours' until none has a
    lesser one. Ibis has no recursion.
    """
    return f"""
WITH RECURSIVE
known AS (
  SELECT CAST(t.day AS DATE) AS day, m.from_user_id AS one, m.to_user_id AS other
  FROM (SELECT unnest(generate_series({first}, {last}, INTERVAL 1 DAY)) AS day) AS t
  JOIN {MERGES} AS m ON m.dt < t.day AND m.from_user_id <> m.to_user_id
),
edges AS MATERIALIZED (
  SELECT day, one, other FROM known UNION SELECT day, other, one FROM known
),
persons(day, user_id, person_id) USING KEY (day, user_id) AS (
  SELECT day, one, least(one, min(other)) FROM edges GROUP BY day, one
  UNION
  SELECT e.day, e.one, min(neighbour.person_id)
  FROM persons AS neighbour
  JOIN edges AS e ON e.day = neighbour.day AND e.other = neighbour.user_id
  JOIN recurring.persons AS own ON own.day = e.day AND own.user_id = e.one
  WHERE neighbour.person_id < own.person_id
  GROUP BY e.day, e.one
)
SELECT day AS dt, user_id, person_id FROM persons
"""


def persons_input(
    scope: Scope, *, before: int = 0, after: int = 0, cells: Cells | None = None
) -> tuple[Input, ...]:
    """The input of persons; none where the log merges no ids."""
    return (Input(PERSONS, before=before, after=after, cells=cells),) if scope.has_merges else ()


def read_persons(inputs: Inputs) -> ibis.Table | None:
    """The persons that a table's recipe reads; None where the log has none."""
    return inputs[PERSONS] if inputs.scope.has_merges else None


def with_other_ids(
    rows: ibis.Table, persons: ibis.Table | None, *, day: str, own: str | None = None
) -> ibis.Table:
    """The rows, and each again under all other ids of the person, as known before its `day`.

    `own` is a column for the id that the row had; without it the id is lost in the copies.
    """
    if own is not None:
        rows = rows.mutate(**{own: rows.user_id})
    if persons is None:
        return rows
    others = persons.select(persons_day=_.dt, of_user=_.user_id, person=_.person_id).inner_join(
        persons.select(persons_day=_.dt, person=_.person_id, other_id=_.user_id),
        ["persons_day", "person"],
    )
    others = others.filter(_.of_user != _.other_id)
    copies = rows.inner_join(others, [(day, "persons_day"), ("user_id", "of_user")])
    copies = copies.mutate(user_id=copies.other_id).select(*rows.columns)
    return rows.union(copies)


def by_person(rows: ibis.Table, persons: ibis.Table | None, *, day: str) -> ibis.Table:
    """The rows with the person in place of the user, as known before their `day`."""
    if persons is None:
        return rows
    known = persons.select(persons_day=_.dt, of_user=_.user_id, person=_.person_id)
    joined = rows.left_join(known, [(day, "persons_day"), ("user_id", "of_user")])
    found = ibis.coalesce(joined.person, joined.user_id)
    return joined.mutate(user_id=found).select(*rows.columns)


def by_ids(rows: ibis.Table, persons: ibis.Table | None) -> ibis.Table:
    """Rows by (`dt`, `user_id`) of `by_person`: a row for each id of the person."""
    return rows if persons is None else with_other_ids(rows, persons, day="dt")


def outsized_persons(persons: ibis.Table, *, settings: CheckSettings) -> ibis.Table:
    """People who have more ids than anybody should: a shared device, or ids mapped wrongly."""
    counted = persons.group_by("dt", "person_id").agg(num_ids=_.count(), last_id=_.user_id.max())
    return counted.filter(_.num_ids > settings.max_ids_per_person)


USER_PERSONS = Table(
    name=PERSONS,
    group="attribution",
    owner="team:ads-measurement",
    description="""One id that has been merged with another, as known before day T, and the person.

Merges add up: a day has all that were ever known before it.""",
    columns=COLUMNS,
    key=("dt", "user_id"),
    domain="knowledge",
    inputs=lambda scope: (Input(MERGES, before=1, after=-1, accumulates=True),),
    sql=persons_sql,
    needs=MERGES,
    days_at_once=2,
    checks=(
        Check(
            "persons_have_few_ids",
            "Nobody has more ids than `checks.max_ids_per_person`.",
            warning=lambda i: outsized_persons(i.own, settings=i.settings.checks),
        ),
    ),
)
