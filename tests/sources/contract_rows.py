"""A valid row of every stream, as text."""

import datetime as dt

DAY = dt.date(2026, 1, 2)
HOUR = dt.timedelta(hours=1)
SECOND = dt.timedelta(seconds=1)
MIDNIGHT = dt.datetime(2026, 1, 2)
INTS = dict.fromkeys(["impression_id", "user_id", "pin_id"], "int64")
IMPRESSION = {
    "impression_id": "1",
    "user_id": "2",
    "pin_id": "3",
    "impression_ts": "2026-01-02 10:00:00",
    "surface": "homefeed",
}
ENGAGEMENT = {
    "engagement_id": "e1",
    "user_id": "u",
    "pin_id": "p",
    "engagement_ts": "2026-01-02 10:00:00",
    "engagement_type": "click",
}
CONVERSION = {
    "conversion_id": "c1",
    "event_name": "checkout",
    "event_ts": "2026-01-02 09:00:00",
    "received_ts": "2026-01-02 10:00:00",
}
ROWS = {"impressions": IMPRESSION, "engagements": ENGAGEMENT, "conversions": CONVERSION}
ROWS |= {"pins": {"pin_id": "p"}, "users": {"user_id": "u"}}
ROWS["user_merges"] = {
    "merge_id": "m1",
    "from_user_id": "browser-7",
    "to_user_id": "anna",
    "merged_ts": "2026-01-02 09:00:00",
    "received_ts": "2026-01-02 09:00:00",
}
ROWS["conversion_adjustments"] = {
    "adjustment_id": "a1",
    "adjustment_type": "restatement",
    "event_id": "o1",
    "adjustment_ts": "2026-01-02 09:00:00",
    "received_ts": "2026-01-02 10:00:00",
    "value": "20",
}
ALL_STREAMS = {name: {} for name in ROWS}
