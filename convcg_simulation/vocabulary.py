"""The words of the world: product categories and types, colours, demographics, titles."""

CATEGORIES: dict[str, tuple[str, ...]] = {
    "shoes": ("running shoes", "sneakers", "ankle boots", "sandals", "loafers", "high heels"),
    "dresses": ("summer dress", "evening dress", "maxi dress", "wrap dress", "slip dress", "gown"),
    "knitwear": ("cardigan", "wool sweater", "turtleneck", "sweater vest", "hoodie", "poncho"),
    "outerwear": ("trench coat", "puffer jacket", "parka", "blazer", "raincoat", "denim jacket"),
    "bags": ("tote bag", "backpack", "crossbody bag", "clutch", "weekender", "belt bag"),
    "jewellery": ("earrings", "necklace", "bracelet", "signet ring", "anklet", "brooch"),
    "watches": ("dive watch", "dress watch", "smart watch", "field watch", "chronograph", "strap"),
    "skincare": ("face serum", "sunscreen", "night cream", "cleanser", "face mask", "eye cream"),
    "makeup": ("lipstick", "mascara", "foundation", "eyeshadow palette", "blush", "nail polish"),
    "sofas": ("corner sofa", "sofa bed", "loveseat", "chaise longue", "armchair", "ottoman"),
    "tables": ("coffee table", "dining table", "side table", "desk", "console table", "bench"),
    "lighting": (
        "floor lamp",
        "pendant light",
        "table lamp",
        "wall sconce",
        "chandelier",
        "lantern",
    ),
    "textiles": ("area rug", "throw blanket", "cushion cover", "curtains", "duvet set", "towels"),
    "decor": ("wall mirror", "vase", "picture frame", "candle holder", "wall clock", "planter"),
    "kitchen": (
        "dutch oven",
        "knife set",
        "stand mixer",
        "kettle",
        "dinner plates",
        "coffee maker",
    ),
    "garden": ("patio set", "raised bed", "hammock", "fire pit", "garden bench", "bird feeder"),
    "fitness": ("yoga mat", "dumbbells", "leggings", "water bottle", "jump rope", "foam roller"),
    "outdoor": ("tent", "hiking backpack", "sleeping bag", "camp stove", "headlamp", "cooler"),
    "toys": ("building blocks", "wooden train", "plush bear", "dollhouse", "puzzle", "scooter"),
    "crafts": ("yarn set", "watercolour set", "sewing kit", "sketchbook", "beads", "stamp set"),
}
CATEGORY_NAMES = tuple(CATEGORIES)
TYPE_NAMES = tuple(name for types in CATEGORIES.values() for name in types)
TYPES_PER_CATEGORY = 6
COLOURS = ("black", "white", "red", "blue", "green", "beige", "pink", "grey")
COUNTRIES = ("US", "GB", "DE", "FR", "BR", "JP", "CA", "MX")
COUNTRY_SHARES = (0.4, 0.13, 0.11, 0.09, 0.09, 0.07, 0.06, 0.05)
AGE_BUCKETS = ("18-24", "25-34", "35-44", "45-54", "55+")
AGE_SHARES = (0.26, 0.31, 0.2, 0.13, 0.1)
GENDERS = ("female", "male", "unspecified")
GENDER_SHARES = (0.62, 0.28, 0.1)
SELLING_WORDS = ("", "Classic", "Handmade", "Modern", "Everyday", "Vintage", "Premium", "Soft")
BAIT_WORDS = ("You won't believe this", "Viral", "Only today:", "Secret trick:")
_SYLLABLES = (
    "nor",
    "ve",
    "la",
    "mi",
    "to",
    "ra",
    "sol",
    "ka",
    "ber",
    "lu",
    "fen",
    "da",
    "os",
    "ti",
)

_CONTEXT_OF_QUERY = {
    f"{colour} {name}".strip(): (number, colour_number - 1)
    for number, name in enumerate(TYPE_NAMES)
    for colour_number, colour in enumerate(("", *COLOURS))
}


def query_text(product_type: int, colour: int) -> str:
    """What a person types who wants a product type, in a colour unless it is -1.

    >>> query_text(0, 2)
    'red running shoes'
    """
    words = TYPE_NAMES[product_type]
    return words if colour < 0 else f"{COLOURS[colour]} {words}"


def query_context(query: str | None) -> tuple[int, int]:
    """The (product type, colour) that a query names; (-1, -1) where it names none.

    >>> query_context("red running shoes")
    (0, 2)
    """
    return _CONTEXT_OF_QUERY.get(query or "", (-1, -1))


def brand_name(number: int) -> str:
    """The name of advertiser `number`, unique up to 2,744 of them.

    >>> brand_name(17)
    'Nor-Ve-Mi'
    """
    size = len(_SYLLABLES)
    parts = (number // size**2 % size, number // size % size, number % size)
    return "-".join(_SYLLABLES[part].capitalize() for part in parts)
