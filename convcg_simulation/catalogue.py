"""The Pins: latent attributes, the campaign behind each, and the noisy content vector shown."""

from dataclasses import dataclass, fields
from datetime import date
from typing import TypeVar

import numpy as np

from convcg_simulation.advertisers import STYLE_DIM, Advertisers
from convcg_simulation.randomness import generator
from convcg_simulation.vocabulary import (
    CATEGORY_NAMES,
    COLOURS,
    TYPE_NAMES,
    TYPES_PER_CATEGORY,
)

CONTENT_DIM = 32
DAY_US = 86_400_000_000
Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Shapes:
    """What all Pins share: the geometry of styles, and how attributes become content vectors."""

    rotation: np.ndarray  # [C, S, S]: what a person's style means within a category
    type_style: np.ndarray  # [types, S]
    category_log_price: np.ndarray  # [C]
    mixing: np.ndarray  # [latent, CONTENT_DIM]
    bending: np.ndarray  # [latent, CONTENT_DIM]
    category_code: np.ndarray  # [C, 6]
    type_code: np.ndarray  # [types, 6]
    colour_code: np.ndarray  # [colours, 3]


@dataclass(frozen=True)
class Pins:
    """One row per Pin (P), in order of creation day."""

    pin_id: np.ndarray
    advertiser: np.ndarray
    category: np.ndarray
    product_type: np.ndarray
    colour: np.ndarray
    style: np.ndarray  # [P, STYLE_DIM]
    log_price: np.ndarray
    price: np.ndarray
    push: np.ndarray  # log of the campaign's strength
    appeal: np.ndarray  # added to the click logit
    sells: np.ndarray  # added to the log of the conversion rate
    is_bait: np.ndarray
    is_dull: np.ndarray
    created_day: np.ndarray  # day number; negative before the world began
    created_us: np.ndarray  # microseconds since the epoch
    content: np.ndarray  # [P, CONTENT_DIM]
    wording: np.ndarray  # which selling word the title carries


def make_shapes(seed: int) -> Shapes:
    """The geometry of a world."""
    rng = generator(seed, purpose="shapes")
    num_categories, num_types = len(CATEGORY_NAMES), len(TYPE_NAMES)
    latent = 6 + 6 + STYLE_DIM + 3 + 1
    random_squares = rng.normal(0, 1, (num_categories, STYLE_DIM, STYLE_DIM))
    return Shapes(
        rotation=np.linalg.qr(random_squares)[0],
        type_style=rng.normal(0, 0.7, (num_types, STYLE_DIM)),
        category_log_price=rng.normal(np.log(60), 0.8, num_categories).astype(np.float32),
        mixing=rng.normal(0, latent**-0.5, (latent, CONTENT_DIM)),
        bending=rng.normal(0, 1.5 * latent**-0.5, (latent, CONTENT_DIM)),
        category_code=rng.normal(0, 1, (num_categories, 6)),
        type_code=rng.normal(0, 1, (num_types, 6)),
        colour_code=rng.normal(0, 0.8, (len(COLOURS), 3)),
    )


def make_pins(
    seed: int,
    *,
    day: int,
    num_pins: int,
    first_number: int,
    first_day: date,
    shapes: Shapes,
    advertisers: Advertisers,
) -> Pins:
    """The Pins created on a day; those of day 0 are the stock, created in the 120 days before."""
    rng = generator(seed, purpose="pins", day=day)
    n = num_pins
    advertiser = rng.choice(len(advertisers.size), n, p=advertisers.size / advertisers.size.sum())
    category = advertisers.categories[advertiser, rng.choice(3, n, p=(0.6, 0.25, 0.15))]
    product_type = category * TYPES_PER_CATEGORY + rng.choice(
        TYPES_PER_CATEGORY, n, p=(0.25, 0.22, 0.18, 0.15, 0.12, 0.08)
    )
    colour = rng.integers(0, len(COLOURS), n)
    style = (
        shapes.type_style[product_type]
        + 0.6 * advertisers.style[advertiser]
        + rng.normal(0, 0.6, (n, STYLE_DIM))
    )
    price = np.exp(
        shapes.category_log_price[category]
        + advertisers.price_level[advertiser]
        + rng.normal(0, 0.4, n)
    )
    price = np.maximum(1.0, np.round(price)) - 0.01
    kind = rng.random(n)
    is_bait, is_dull = kind < 0.05, kind > 0.8
    created_day = rng.integers(-120, 0, n) if day == 0 else np.full(n, day)
    first_us = int(np.datetime64(first_day, "us").astype(np.int64))
    attributes = np.concatenate(
        [
            shapes.category_code[category],
            shapes.type_code[product_type],
            style,
            shapes.colour_code[colour],
            (np.log(price) - shapes.category_log_price[category])[:, None],
        ],
        axis=1,
    )
    content = attributes @ shapes.mixing + 0.7 * np.tanh(attributes @ shapes.bending)
    content += rng.normal(0, 0.35, content.shape)
    return Pins(
        pin_id=20_000_000 + first_number + np.arange(n, dtype=np.int64),
        advertiser=advertiser,
        category=category,
        product_type=product_type,
        colour=colour,
        style=style.astype(np.float32),
        log_price=np.log(price).astype(np.float32),
        price=price,
        push=rng.normal(0, 0.7, n) + advertisers.budget[advertiser],
        appeal=(rng.normal(0, 0.35, n) + 1.5 * is_bait - 1.1 * is_dull).astype(np.float32),
        sells=(rng.normal(0, 0.3, n) - 4.0 * is_bait + 0.5 * is_dull).astype(np.float32),
        is_bait=is_bait,
        is_dull=is_dull,
        created_day=created_day,
        created_us=first_us + created_day * DAY_US + rng.integers(0, DAY_US, n),
        # Steps of 1/64, as a quantised embedding service sends them: the noise is far coarser.
        content=np.round(content * 64) / 64,
        wording=rng.integers(0, 1 << 16, n),
    )


def stacked(batches: list[Batch]) -> Batch:
    """One batch of rows (Pins, users, events) out of several, in order."""
    kind = type(batches[0])
    names = [field.name for field in fields(kind)]  # pyright: ignore[reportArgumentType]
    return kind(**{n: np.concatenate([getattr(b, n) for b in batches]) for n in names})
