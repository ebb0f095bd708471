"""The daily snapshots of Pins and users: what a platform knows of them, never the latents."""

import numpy as np
import pyarrow as pa

from convcg_simulation.advertisers import Advertisers
from convcg_simulation.catalogue import CONTENT_DIM, Pins
from convcg_simulation.people import People
from convcg_simulation.vocabulary import (
    AGE_BUCKETS,
    BAIT_WORDS,
    CATEGORY_NAMES,
    COLOURS,
    COUNTRIES,
    GENDERS,
    SELLING_WORDS,
    TYPE_NAMES,
    brand_name,
)


def pin_snapshot(pins: Pins, *, advertisers: Advertisers) -> pa.Table:
    """One row per Pin that exists."""
    num_pins = len(pins.pin_id)
    offsets = np.arange(0, (num_pins + 1) * CONTENT_DIM, CONTENT_DIM, dtype=np.int32)
    return pa.table(
        {
            "pin_id": pins.pin_id,
            "advertiser_id": advertisers.advertiser_id[pins.advertiser],
            "category": pa.array(CATEGORY_NAMES).take(pa.array(pins.category)),
            "price": np.round(pins.price, 2),
            "created_ts": pins.created_us.astype("datetime64[us]"),
            "title": titles(pins),
            "content": pa.ListArray.from_arrays(offsets, pins.content.ravel()),
        }
    )


def user_snapshot(people: People) -> pa.Table:
    """One row per user that has an account."""
    return pa.table(
        {
            "user_id": people.user_id,
            "country": pa.array(COUNTRIES).take(pa.array(people.country)),
            "age_bucket": pa.array(AGE_BUCKETS).take(pa.array(people.age)),
            "gender": pa.array(GENDERS).take(pa.array(people.gender)),
            "created_ts": people.created_us.astype("datetime64[us]"),
        }
    )


def titles(pins: Pins) -> list[str]:
    """A title for people to read: colour, product and brand, or bait."""
    columns = (pins.wording, pins.is_bait, pins.colour, pins.product_type, pins.advertiser)
    return [
        f"{BAIT_WORDS[wording % len(BAIT_WORDS)]} {TYPE_NAMES[product_type]}"
        if is_bait and wording % 2
        else " ".join(
            word
            for word in (
                SELLING_WORDS[wording % len(SELLING_WORDS)],
                COLOURS[colour],
                TYPE_NAMES[product_type],
                "by",
                brand_name(advertiser),
            )
            if word
        )
        for wording, is_bait, colour, product_type, advertiser in zip(
            *(column.tolist() for column in columns), strict=True
        )
    ]
