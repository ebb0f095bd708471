"""Words and numbers as reports and verdicts write them."""

from convcg_model.evaluation.result import Estimate

_WORDS = {
    "als": "ALS",
    "oracle": "ceiling (oracle)",
    "champion": "champion (in service)",
    "recall": "recall",
    "ndcg": "NDCG",
    "homefeed": "Homefeed",
    "related_pins": "Related Pins",
    "search": "Search",
    "pin": "Pin",
}
_DIMENSIONS = {
    "seen before": "Pin seen before",
    "surface": "Surface",
    "touch type": "Touch type",
    "match level": "Match level",
    "Pin": "Pin age",
    "user": "User",
    "advertiser decile": "Advertiser decile",
}


def words(name: str) -> str:
    """A name of the code as people write it.

    >>> words("recently_viewed"), words("ndcg@100"), words("related_pins")
    ('recently viewed', 'NDCG@100', 'Related Pins')
    """
    if name in _DIMENSIONS:
        return _DIMENSIONS[name]
    first, at, k = name.partition("@")
    return _WORDS.get(first, first.replace("_", " ")) + at + k


def percent(value: float, *, signed: bool = False) -> str:
    """A share in percent, with as many digits as it takes to tell small ones from zero.

    >>> percent(0.2351), percent(0.00042), percent(0.05, signed=True)
    ('23.5%', '0.042%', '+5.0%')
    """
    scaled = 100 * value
    digits = 1 if scaled == 0 or abs(scaled) >= 0.1 else 3
    return f"{scaled:{'+' if signed else ''}.{digits}f}%"


def bounds(estimate: Estimate) -> str:
    """The interval in percent.

    >>> bounds(Estimate(value=0.2, low=0.181, high=0.22, unweighted=0.19))
    '18.1 to 22.0'
    """
    return f"{percent(estimate.low)[:-1]} to {percent(estimate.high)[:-1]}"


def arrived(maturity: float | None) -> str:
    """The share of the labels that have arrived; all of them only if none is missing.

    >>> arrived(0.714), arrived(0.9996), arrived(1.0), arrived(0.004), arrived(None)
    ('71%', '>99%', '100%', '<1%', '?')
    """
    if maturity is None:
        return "?"
    if 0.995 <= maturity < 1:
        return ">99%"
    return "<1%" if maturity < 0.005 else f"{100 * maturity:.0f}%"


def rank_words(rank: float | None) -> str:
    """The rank of a target, which ties can make a half.

    >>> rank_words(3.0), rank_words(1234.5), rank_words(None)
    ('3', '1,234.5', 'not a candidate')
    """
    return "not a candidate" if rank is None else f"{rank:,g}" if rank % 1 else f"{int(rank):,}"


def figure(value: str | float) -> str:
    """A setting of any type.

    >>> figure(12_000), figure(0.98765), figure("Flat"), figure(True)
    ('12,000', '0.9877', 'Flat', 'True')
    """
    if isinstance(value, float):
        return f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
