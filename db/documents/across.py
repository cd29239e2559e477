"""Chunks of several small collections ranked in one statement. Called within `scope.scope` of the tenant it names."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.documents.rankings import Hit, Reach, hit_of, in_order
from db.documents.words import Asked


@dataclass(frozen=True, slots=True)
class Ask:
    """What is looked for in one collection; `few` says that few chunks are within reach, and each is looked at."""

    reach: Reach
    asked: Asked
    few: bool


def ranked(session: Session, asks: Sequence[Ask], vector: Any, depth: int) -> list[tuple[list[Hit], list[Hit]]]:
    """Of each collection the best `depth` by their vectors, and by the question's words. No index of vectors is walked,
    and no reach is `among` a query's documents."""
    rows: list[tuple[list[Any], list[Any]]] = [([], []) for _ in asks]
    for place, way, *row in session.execute(_RANKED, _given(asks, vector, depth)) if asks else ():
        rows[place - 1][way].append((way, *row))
    return [
        ([hit_of(row) for row in in_order("vectors", near)], [hit_of(row) for row in in_order("words", worded)])
        for near, worded in rows
    ]


def _given(asks: Sequence[Ask], vector: Any, depth: int) -> dict[str, Any]:
    """Lists of lists go as text, since PostgreSQL's are of one length."""
    return {
        "tenant_id": asks[0].reach.tenant_id,
        "vector": orjson.dumps(np.asarray(vector, np.float32), option=orjson.OPT_SERIALIZE_NUMPY).decode(),
        "depth": depth,
        "collections": [ask.reach.collection_id for ask in asks],
        "seconds": [ask.reach.second for ask in asks],
        "few": [ask.few for ask in asks],
        "words": [ask.asked.vector.to_text() for ask in asks],
        "any_of": [_array(ask.asked.any_of) for ask in asks],
        "all_of": [_array(ask.asked.all_of) if ask.asked.all_of else None for ask in asks],
        "hidden": [_array(ask.reach.hidden) for ask in asks],
        "among": [None if ask.reach.among is None else _array(_listed(ask.reach.among)) for ask in asks],
    }


def _array(values: Collection[Any]) -> str:
    return "{" + ",".join(map(str, values)) + "}"


def _listed(among: Any) -> Sequence[Any]:
    assert not hasattr(among, "compile"), "documents that a query finds"
    return list(among)


# The casts stand in a table that is made first: else each chunk would have them made again.
_RANKED = text(
    """
    WITH given AS MATERIALIZED (
        SELECT place, collection_id, second, few, CAST(words AS sparsevec) AS words, CAST(any_of AS bigint[]) AS any_of,
               CAST(all_of AS bigint[]) AS all_of, CAST(hidden AS uuid[]) AS hidden, CAST(among AS uuid[]) AS among
        FROM unnest(
            CAST(:collections AS uuid[]), CAST(:seconds AS boolean[]), CAST(:few AS boolean[]), CAST(:words AS text[]),
            CAST(:any_of AS text[]), CAST(:all_of AS text[]), CAST(:hidden AS text[]), CAST(:among AS text[])
        ) WITH ORDINALITY AS each (collection_id, second, few, words, any_of, all_of, hidden, among, place)
    )
    SELECT given.place, 0 AS way, near.* FROM given CROSS JOIN LATERAL (
        SELECT document_id, number,
               CASE WHEN given.second THEN second_embedding ELSE embedding END <=> CAST(:vector AS vector) AS distance,
               -(chunks.words <#> given.words) AS points
        FROM chunks WHERE tenant_id = :tenant_id AND collection_id = given.collection_id
        AND document_id <> ALL (given.hidden) AND (given.among IS NULL OR document_id = ANY (given.among))
        ORDER BY 3 LIMIT :depth
    ) AS near
    UNION ALL
    SELECT given.place, 1, chunks.document_id, chunks.number,
           CASE WHEN given.second THEN second_embedding ELSE embedding END <=> CAST(:vector AS vector), found.points
    FROM given CROSS JOIN LATERAL find_words(
        given.collection_id, given.any_of, given.all_of, given.words, :depth, given.hidden, given.among
    ) AS found
    JOIN chunks ON chunks.document_id = found.document_id AND chunks.number = found.number
    WHERE NOT given.few AND chunks.tenant_id = :tenant_id
    UNION ALL
    SELECT given.place, 1, worded.* FROM given CROSS JOIN LATERAL (
        SELECT document_id, number,
               CASE WHEN given.second THEN second_embedding ELSE embedding END <=> CAST(:vector AS vector),
               -(chunks.words <#> given.words) AS points
        FROM chunks WHERE tenant_id = :tenant_id AND collection_id = given.collection_id
        AND document_id = ANY (given.among) AND -(chunks.words <#> given.words) > 0
        ORDER BY 4 DESC, 1, 2 LIMIT :depth
    ) AS worded
    WHERE given.few
    """
)
