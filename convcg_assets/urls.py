"""URLs of databases as they may be shown, without what opens them.

Whoever prints, logs or records a URL takes it from here.
"""

import re

_SECRET = re.compile(r"((?:pass|secret|token|key)[^=&;]*=)[^&;]*", re.IGNORECASE)


def without_password(url: str) -> str:
    """A URL as it may be shown: without the user and password before its host, or after it.

    >>> without_password("postgresql://reader:secret@db/shop")
    'postgresql://...@db/shop'
    >>> without_password("postgresql://reader:not/encoded@all@db/shop?sslpassword=secret&a=b")
    'postgresql://...@db/shop?sslpassword=...&a=b'
    >>> without_password("sqlite:////home/me/ledger.db")
    'sqlite:////home/me/ledger.db'
    """
    return _SECRET.sub(r"\1...", re.sub(r"^([^:/]+://).*@", r"\1...@", url, flags=re.DOTALL))
