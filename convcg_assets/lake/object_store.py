"""A lake in an object store: what the embedded engine reads its files through.

delta-rs reads and writes tables in S3 by itself, each commit by a conditional put. The files that a
version names are read by DuckDB, through Arrow's own S3 file system: its extension for that need
not be there. Where the store is and who asks is said by the environment alone: `AWS_ENDPOINT_URL`,
`AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, or the role of the machine.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from ibis.backends.duckdb import Backend

S3 = "s3"
"""The scheme of URLs in an object store; anything else is a folder."""
MAX_REASON = 600
"""Of what a store said so much is shown."""


def is_in_store(place: str) -> bool:
    """Whether a place is in an object store.

    >>> is_in_store("s3://bucket/lake"), is_in_store("/srv/lake")
    (True, False)
    """
    return place.startswith(f"{S3}://")


@contextmanager
def told_of(root: str) -> Iterator[None]:
    """What an object store did not do is told with what to look at; a missing table is no fault.

    Raises OSError, without what the store is opened with.
    """
    try:
        yield
    except (TableNotFoundError, CommitFailedError):
        raise
    except (DeltaError, OSError) as error:
        if not is_in_store(root):
            raise
        reason = " ".join(str(error).replace("\u21b3", ":").split()).replace(" : ", ": ")
        raise OSError(
            f"the lake at {root} does not answer: {reason[:MAX_REASON]}\n"
            "The environment says where it is and who asks: AWS_ENDPOINT_URL and AWS_ALLOW_HTTP of "
            "a store that is not Amazon's, AWS_REGION, and AWS_ACCESS_KEY_ID with "
            "AWS_SECRET_ACCESS_KEY, or the machine's role. The bucket must be there."
        ) from None


def attach_store(sql: str, *, con: Backend) -> None:
    """Let a connection read the object store, where SQL names files in it."""
    if f"'{S3}://" in sql and not con.con.filesystem_is_registered(S3):
        con.con.register_filesystem(_as_fsspec())


def _as_fsspec() -> Any:
    """The store's file system, in the form that DuckDB takes."""
    named = [os.environ.get(name) for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")]
    regions = [os.environ.get(name) for name in ("AWS_REGION", "AWS_DEFAULT_REGION")]
    return _opened(named[0] or named[1], regions[0] or regions[1])


@cache
def _opened(endpoint: str | None, region: str | None) -> Any:
    from fsspec.implementations.arrow import ArrowFSWrapper
    from pyarrow.fs import S3FileSystem

    store = type("Store", (ArrowFSWrapper,), {"protocol": S3})
    return store(S3FileSystem(endpoint_override=endpoint, region=region))
