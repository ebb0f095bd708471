"""What can be chosen about the model, its training and its index.

The plain configs live here; whoever runs the model (a job, a command line) extends or embeds them.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

Dimension = PositiveInt
Share = Annotated[float, Field(ge=0, lt=1)]


class FrozenConfig(BaseModel):
    """A config that cannot change after validation and refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelConfig(FrozenConfig):
    """The two towers and what they read."""

    embedding_dim: Dimension = Field(
        default=64, ge=2, le=1024, description="length of user and Pin embeddings"
    )
    tower: Literal["parallel", "sequential", "dcn", "mlp"] = Field(
        default="parallel",
        description="crossing: DCN v2 beside the MLP on the same input, DCN v2 and then the MLP, "
        "or one of them alone",
    )
    cross_layers: int = Field(default=3, ge=1, le=8, description="full-rank cross layers of DCN v2")
    mlp_sizes: tuple[Dimension, ...] = Field(
        default=(256, 128, 64), min_length=1, max_length=8, description="hidden sizes of the MLP"
    )
    pin_id_dim: Dimension = Field(default=32, le=512, description="embedding of a Pin's id")
    advertiser_dim: Dimension = Field(
        default=16, le=512, description="embedding of an advertiser's id"
    )
    category_dim: Dimension = Field(default=16, le=512, description="embedding of a category")
    content_dim: Dimension = Field(
        default=32, le=512, description="projection of a Pin's content vector"
    )
    context_dim: Dimension = Field(
        default=8, le=512, description="embedding of surface, country, age bucket and gender, each"
    )
    query_dim: Dimension = Field(default=32, le=512, description="embedding of one query token")
    query_buckets: int = Field(
        default=8192, ge=2, le=2**24, description="hash buckets of query tokens"
    )
    max_query_tokens: int = Field(
        default=8, ge=1, le=64, description="tokens of a query that are read"
    )
    max_recent_actions: int = Field(
        default=30, ge=1, le=1000, description="newest actions that are read"
    )
    history_pools: int = Field(
        default=2,
        ge=1,
        le=16,
        description="pools over the recent actions, each with its own recency",
    )
    min_pin_count: Literal["auto"] | PositiveInt = Field(
        default="auto",
        description="a Pin seen less often in training has no id embedding of its own; auto: as "
        "low as leaves four positives for each id",
    )
    min_advertiser_count: int = Field(default=2, ge=1, description="the same for advertisers")
    max_id_vocabulary: int = Field(
        default=500_000, ge=1, description="most frequent ids that get an embedding of their own"
    )
    id_dropout: Literal["auto"] | Share = Field(
        default="auto",
        description="share of ids hidden in training, so that new Pins are learnt; auto: the more, "
        "the fewer positives there are for each Pin",
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout after each MLP layer")
    temperature: float = Field(
        default=0.12, gt=0, le=10, description="inner products are divided by it before the softmax"
    )
    history: Literal["none", "pools", "transformer"] = Field(
        default="pools",
        description="what the user tower reads of the recent actions: nothing, weighted means, or "
        "a Transformer over (Pin, action, age)",
    )
    transformer_layers: int = Field(default=1, ge=1, le=8, description="of history: transformer")
    transformer_heads: int = Field(default=4, ge=1, le=16, description="of history: transformer")
    transformer_dim: Dimension = Field(
        default=64, le=1024, description="of history: transformer; a multiple of the heads"
    )
    direction_scale: Literal["auto"] | Annotated[float, Field(ge=0, le=1)] = Field(
        default="auto",
        description="what the inner product of directions counts beside prior and repeats; auto: "
        "what the newest training days find best, 1 where nothing is better by more than chance",
    )
    item_space: bool = Field(
        default=True,
        description="one map of a Pin's features is added to both towers' outputs: on the Pin "
        "side of the Pin, on the user side the mean over the recent actions and the subject Pin",
    )
    pin_prior: bool = Field(
        default=True,
        description="the last number of a Pin's embedding is a linear function of its counters, of "
        "a user's 1: popularity, which directions alone hardly say; the others have length 1",
    )
    repeat_score: bool = Field(
        default=True,
        description="Pins that the user acted on or is looking at gain a learnt score, exactly",
    )
    hashed_ids: bool = Field(
        default=True, description="Pin ids beyond the vocabulary: two hashed embeddings each"
    )
    max_hash_buckets: int = Field(
        default=2**18, ge=64, le=2**24, description="most hash buckets of such ids"
    )
    head: Literal["unified", "multi"] = Field(
        default="unified",
        description="one head for both tasks, or one for each, of which conversion's is served",
    )

    advertiser_loss: Literal["off", "in_batch", "embedding"] = Field(
        default="off",
        description="of conversions, beside the Pin's: the advertiser's Pins in the batch are all "
        "positives, or a softmax over advertiser embeddings",
    )

    @property
    def resolved_direction_scale(self) -> float:
        """`direction_scale`; while `auto` is not settled, 1."""
        return 1.0 if self.direction_scale == "auto" else self.direction_scale

    @property
    def resolved_id_dropout(self) -> float:
        """`id_dropout` once it is a number; `auto` is settled before anything is built."""
        assert self.id_dropout != "auto", "id_dropout is auto: choose it by the log first"
        return self.id_dropout

    @property
    def resolved_min_pin_count(self) -> int:
        """`min_pin_count` once it is a number."""
        assert self.min_pin_count != "auto", "min_pin_count is auto: choose it by the log first"
        return self.min_pin_count


class TaskWeights(FrozenConfig):
    """What one epoch's loss of each task counts, whatever its number of positives."""

    conversion: float = Field(default=0.3, ge=0, description="weight of the conversion task")
    engagement: float = Field(default=1.0, ge=0, description="weight of the engagement task")


class TrainingConfig(FrozenConfig):
    """How the towers are trained."""

    epochs: Literal["auto"] | Annotated[int, Field(ge=1, le=1000)] = Field(
        default="auto",
        description="passes over the positives; auto: as many as help on the newest training days",
    )
    batch_size: Literal["auto"] | Annotated[int, Field(ge=2, le=65536)] = Field(
        default="auto",
        description="positives per step; auto: a power of two, for about 160 steps an epoch",
    )
    learning_rate: float = Field(
        default=3e-3, gt=0, le=1, description="highest learning rate of AdamW"
    )
    warmup_share: float = Field(
        default=0.05,
        ge=0,
        lt=1,
        description="share of the steps in which the rate rises; then it falls",
    )
    weight_decay: float = Field(
        default=1e-4, ge=0, le=1, description="of matrices, not of embeddings"
    )
    max_gradient_norm: float = Field(
        default=5.0, gt=0, description="gradients are clipped to this norm"
    )
    task_weights: TaskWeights = Field(default_factory=lambda: TaskWeights())
    logq_correction: bool = Field(
        default=True, description="correct in-batch columns for how often their Pin is drawn"
    )
    hard_negatives_per_batch: Literal["auto"] | Annotated[int, Field(ge=0, le=65536)] = Field(
        default="auto",
        description="unengaged impressions per step; 0 leaves them out, auto: a quarter of a batch",
    )
    hard_negative_scope: Literal["batch", "user"] = Field(
        default="batch",
        description="a hard negative counts for every row, or for its own user's rows only",
    )
    validation_share: float = Field(
        default=0.1,
        gt=0,
        le=0.5,
        description="epochs auto: share of the positives, the newest, that judge the others",
    )
    max_validation_queries: int = Field(
        default=2_000, ge=10, description="epochs auto: positives of a task that judge"
    )
    max_validation_pins: int = Field(
        default=50_000, ge=100, description="epochs auto: Pins among which they are ranked"
    )
    patience: int = Field(
        default=3, ge=1, le=100, description="epochs auto: looks without a gain before it stops"
    )
    finish_share: float = Field(
        default=0.5,
        ge=0,
        le=4,
        description="epochs auto: steps on all days after the best step, as a share of it, in "
        "which the learning rate falls",
    )
    max_auto_examples: int = Field(
        default=2_000_000,
        ge=1,
        description="epochs auto: examples seen before it stops in any case, 2.5 epochs at least",
    )
    advertiser_loss_weight: float = Field(
        default=0.3, ge=0, description="what the advertiser loss counts beside the Pin's"
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="same seed, same bytes")
    save_every_steps: int = Field(
        default=200, ge=1, description="steps between partial states for resuming"
    )
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="auto: cuda where there is one",
    )
    precision: Literal["float32", "bf16", "auto"] = Field(
        default="float32",
        description="of the towers' products in training; weights, loss and what serves stay "
        "float32. auto: bf16 where the device has it",
    )
    processes: int = Field(
        default=1,
        ge=1,
        le=64,
        description="processes of this machine that train together, each with a part of every "
        "batch, and on a GPU of its own; the model is the same but for rounding",
    )
    sharded_rows: int = Field(
        default=100_000,
        ge=1,
        description="processes: tables of Pins and query words with so many rows are divided over "
        "them; smaller ones each process has whole",
    )


class IndexConfig(FrozenConfig):
    """The nearest neighbour index over Pin embeddings."""

    factory: str = Field(
        default="auto",
        min_length=1,
        description="FAISS factory string; auto: Flat below exact_below Pins, else an inverted "
        "file that is searched as broadly as target_recall takes",
    )
    exact_below: int = Field(
        default=50_000, ge=0, description="auto: exact search below so many Pins"
    )
    target_recall: float = Field(
        default=0.99,
        gt=0,
        le=1,
        description="auto: share of the best 100 of exact search that is to be found",
    )
    refine: float = Field(
        default=1.5, ge=1, description="so many times k are looked for and scored exactly"
    )
    ef_construction: int = Field(default=200, ge=1, description="HNSW: breadth while building")
    ef_search: int = Field(
        default=400, ge=1, description="HNSW: breadth while searching, at least k"
    )
    num_probes: int = Field(
        default=64, ge=1, description="IVF: lists visited per search; auto finds its own"
    )
