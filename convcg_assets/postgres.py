"""Postgres by a URL: the ledger's, Dagster's and MLflow's. No error says a password.

What a store does there belongs to the store.
"""

from typing import Any

import sqlalchemy as sa

from convcg_assets.urls import without_password

KNOWN = "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
CONNECT_TIMEOUT_S = 10


def is_postgres(url: str) -> bool:
    """Whether a URL is of Postgres, by whatever driver."""
    return url.partition("://")[0].partition("+")[0] == "postgresql"


def read_url(url: str, *, store: str) -> sa.URL:
    """A URL of Postgres in its parts.

    Raises ValueError where `store` has another URL, or one in which a part of the password would be
    taken for a host.
    """
    shown, place = without_password(url), url.partition("://")[2].partition("?")[0]
    who = place.rpartition("@")[0]
    if "@" in who or "/" in who:
        raise ValueError(
            f"{store} {shown}: write special characters of user and password as in URLs: "
            "%40 for @, %2F for /, %25 for %"
        )
    try:
        read = sa.make_url(url)
    except (ValueError, sa.exc.ArgumentError):
        raise ValueError(f"{store} {shown}: a URL of {KNOWN} is known") from None
    if not is_postgres(url):
        raise ValueError(f"{store} {shown}: a URL of {KNOWN} is known")
    return read


def make_engine(url: str, *, store: str, **options: Any) -> sa.Engine:
    """An engine for the database at a URL.

    Raises ValueError where the URL cannot be used; what is done with the engine raises
    ConnectionError where nobody answers, or a connection breaks.
    """
    read = read_url(url, store=store)
    wanted = {"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "convcg"}
    wanted = {key: value for key, value in wanted.items() if key not in read.query}
    try:
        engine = sa.create_engine(read, connect_args=wanted, **options)
    except ImportError as error:
        raise ValueError(needed(error, url, store=store)) from None

    def tell(context: sa.engine.ExceptionContext) -> None:
        broke = context.connection is None or context.is_disconnect
        if broke and not context.is_pre_ping:
            said = str(context.original_exception).strip()
            said = said.replace(read.password, "...") if read.password else said
            raise ConnectionError(f"{store} {without_password(url)}: {said}")

    sa.event.listen(engine, "handle_error", tell)
    return engine


def needed(error: ImportError, url: str, *, store: str) -> str:
    """What to say where a package is missing without which Postgres cannot be spoken to."""
    return f"{store} {without_password(url)}: {error}: pip install 'convcg[postgres]'"
