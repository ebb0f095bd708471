"""Peers of RecTools: LightFM with WARP and iALS, both with features, and SASRec."""

from typing import Any

import numpy as np
import pandas as pd
from rectools import Columns
from rectools.dataset import Dataset

from benchmarks.peers.exchange import (
    FIRST_ITEM,
    TOP,
    Candidates,
    Data,
    Fitted,
    Rows,
    over_popularity,
    run,
)

EPOCHS = {"warp": 30, "ials": 15}


def fit(data: Data, settings: dict[str, Any]) -> Fitted:
    """`kind`: warp, ials or sasrec; the others are those of the library's class."""
    settings = dict(settings)
    kind = settings.pop("kind")
    return _sasrec(data, settings) if kind == "sasrec" else _factors(data, kind, settings)


def _interactions(data: Data) -> pd.DataFrame:
    named = data.train.user >= 0
    return pd.DataFrame(
        {
            Columns.User: data.train.user[named],
            Columns.Item: data.labels.item[named],
            Columns.Weight: data.labels.weight[named],
            Columns.Datetime: pd.to_datetime(data.train.time[named], unit="D"),
        }
    )


def _dataset(data: Data) -> Dataset:
    """Interactions, categories and advertisers of items, context of users (their last)."""
    item_parts = [
        pd.DataFrame({"id": np.arange(len(codes)), "value": codes, "feature": name})[codes > 0]
        for name, codes in (
            ("category", data.items.category),
            ("advertiser", data.items.advertiser),
        )
    ]
    items = pd.concat(item_parts)
    named = data.train.user >= 0
    user_parts = [
        pd.DataFrame({"id": data.train.user[named], "value": codes[named], "feature": f"c{i}"})
        .groupby("id")
        .tail(1)
        for i, codes in enumerate(data.train.context.T)
    ]
    return Dataset.construct(
        _interactions(data),
        item_features_df=items if len(items) else None,
        cat_item_features=list(items["feature"].unique()),
        user_features_df=pd.concat(user_parts) if user_parts else None,
        cat_user_features=[f"c{i}" for i in range(len(user_parts))],
    )


def _factors(data: Data, kind: str, settings: dict[str, Any]) -> Fitted:
    dataset = _dataset(data)
    if kind == "warp":
        from lightfm import LightFM
        from rectools.models import LightFMWrapperModel

        inner = LightFM(loss="warp", random_state=0, **settings)
        model = LightFMWrapperModel(inner, epochs=EPOCHS[kind], num_threads=1)
        model.fit(dataset)
        user_vectors, item_vectors = model.get_vectors(dataset)
    else:
        from implicit.als import AlternatingLeastSquares
        from rectools.models import ImplicitALSWrapperModel

        inner = AlternatingLeastSquares(
            random_state=0, num_threads=1, iterations=EPOCHS[kind], **settings
        )
        model = ImplicitALSWrapperModel(inner, fit_features_together=True)
        model.fit(dataset)
        user_vectors, item_vectors = model.get_vectors()
    users = np.zeros((data.num_users + 1, user_vectors.shape[1]))
    items = np.zeros((len(data.items.pin), item_vectors.shape[1]))
    has_user, has_item = np.zeros(len(users), dtype=bool), np.zeros(len(items), dtype=bool)
    for vectors, kept, table, has in (
        (user_vectors, dataset.user_id_map, users, has_user),
        (item_vectors, dataset.item_id_map, items, has_item),
    ):
        ids = kept.external_ids[: len(vectors)].astype(int)
        table[ids], has[ids] = vectors[: len(ids)], True

    def score(queries: Rows, candidates: Candidates) -> np.ndarray:
        return over_popularity(
            users[queries.user] @ items[candidates.item].T,
            queries,
            candidates,
            known_Q=(queries.user >= 0) & has_user[queries.user],
            known_N=has_item[candidates.item],
        )

    return Fitted(score, examples=EPOCHS[kind] * int((data.train.user >= 0).sum()))


def _sasrec(data: Data, settings: dict[str, Any]) -> Fitted:
    import torch
    from rectools.models import SASRecModel

    torch.set_num_threads(1)
    torch.manual_seed(0)
    interactions = _interactions(data)
    model = SASRecModel(
        session_max_len=50,
        batch_size=64,
        lr=1e-3,
        deterministic=True,
        recommend_torch_device="cpu",
        get_trainer_func=_trainer,
        get_trainer_func_kwargs={"epochs": settings["epochs"]},
        **settings,
    )
    model.fit(Dataset.construct(interactions))
    # Less than all: it leaves out users of one interaction, and so the items of them alone.
    known = np.sort(np.asarray(model.data_preparator.get_known_item_ids()).astype(int))

    def score(queries: Rows, candidates: Candidates) -> np.ndarray:
        """A query is a user of its own, who did what its history and its subject say."""
        scores = candidates.popularity[queries.task].astype(np.float32)
        done = queries.sources()
        row, place = np.nonzero((done >= FIRST_ITEM) & np.isin(done, known))
        ranked = np.intersect1d(candidates.item, known)
        if not len(row) or not len(ranked):
            return scores
        asked = Dataset.construct(
            pd.DataFrame(
                {
                    Columns.User: row,
                    Columns.Item: done[row, place],
                    Columns.Weight: 1.0,
                    Columns.Datetime: pd.to_datetime(-place, unit="D"),
                }
            )
        )
        found = model.recommend(
            np.unique(row), asked, k=TOP, filter_viewed=False, items_to_recommend=ranked
        )
        place_of = np.full(int(candidates.item.max()) + 1, -1)
        place_of[candidates.item] = np.arange(len(candidates.item))
        scores[found[Columns.User], place_of[found[Columns.Item]]] = (
            2 + TOP - found[Columns.Rank].to_numpy()
        )
        return scores

    return Fitted(score, examples=settings["epochs"] * len(interactions))


def _trainer(*, epochs: int) -> Any:
    from pytorch_lightning import Trainer

    return Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


if __name__ == "__main__":
    run(fit)
