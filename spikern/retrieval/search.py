"""The search: nearest keys by Hamming distance, among those that pointers and hash tables name.

A neighbour of a step is a pointer at the next one: if its value is the symbol that came, the key
after it is compared. Only where fewer than `need` pointers are left, every hash table is looked
into, and at most `most` keys of its bucket are compared, evenly spaced: contexts that are common
fill large ones. The kernel is compiled as those of the engines are.
"""

from __future__ import annotations

from functools import cache as cached
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikern.engines.codegen import cache, kernels
from spikern.engines.threads import in_threads

Words = NDArray[np.int64]
"""Truth values in words of 64 bits, the first in the lowest bit of the first word."""
Ranks = NDArray[np.int64]
"""Neighbours, the nearest first: distance x PLACES + place of the key, so that equal distances are
in the order of the store. EMPTY where there are fewer."""
PLACES = 1 << 40
EMPTY = (1 << 62) - 1
BLOCKS = 16
"""Largest number of blocks of samples that the threads share."""
_W1, _W2, _W3 = "int64[::1]", "int64[:,::1]", "int64[:,:,::1]"
_I1, _I2 = "int32[::1]", "int32[:,::1]"
VOTES = f"void({_W2}, {_I1}, float64, float64[:,::1])"
BUCKETS = f"void({_W2}, {_W2}, int64, int64, {_W1})"
SEARCH = (
    f"void(int64, int64, {_W1}, {_W3}, {_W2}, {_W2}, {_I1}, {_W2}, {_I2}, {_I2}, float64, int64, "
    f"{_W2}, {_W3}, {_W3})"
)
_TEXT = f"""

MIX = np.int64(-7046029254386353131)


@njit(cache=True)
def bucket(keys, n, masks, table, wide):
    h = np.int64(0)
    for w in range(keys.shape[1]):
        h = (h ^ (keys[n, w] & masks[table, w])) * MIX
        h ^= h >> 32
    return (h >> 16) & ((1 << wide) - 1)


@njit(cache=True)
def buckets(keys, masks, table, wide, out):
    for n in range(keys.shape[0]):
        out[n] = bucket(keys, n, masks, table, wide)


@njit(cache=True, nogil=True)
def compare(keys, n, query, b, best):
    distance = 0
    for w in range(keys.shape[1]):
        distance += ones(keys[n, w] ^ query[b, w])
    rank = distance * {PLACES} + n
    last = best.shape[0] - 1
    if rank >= best[last]:
        return
    low, high = 0, last
    while low < high:
        middle = (low + high) >> 1
        if best[middle] < rank:
            low = middle + 1
        else:
            high = middle
    if best[low] == rank:
        return
    for k in range(last, low, -1):
        best[k] = best[k - 1]
    best[low] = rank


@njit(cache=True, nogil=True)
def search(
    first, last, until, queries, symbols, keys, values, masks, begin, members, need, most,
    before, found, reads,
):
    wide = 0
    while 1 << wide < begin.shape[1] - 1:
        wide += 1
    for b in range(first, last):
        for t in range(until[b]):
            pointers = before[b] if t == 0 else found[t - 1, b]
            best = found[t, b]
            best[:] = {EMPTY}
            followed = left = listed = 0
            for k in range(best.shape[0]):
                if pointers[k] == {EMPTY}:
                    break
                place = pointers[k] % {PLACES}
                followed += 1
                if place + 1 < keys.shape[0] and values[place] == symbols[t, b]:
                    compare(keys, place + 1, queries[t], b, best)
                    left += 1
            if left < need:
                reads[t, b, 1] = masks.shape[0]
                for table in range(masks.shape[0]):
                    at = bucket(queries[t], b, masks, table, wide)
                    start, size = begin[table, at], begin[table, at + 1] - begin[table, at]
                    taken = min(size, most)
                    for e in range(taken):
                        n = members[table, start + e * size // taken]
                        compare(keys, n, queries[t], b, best)
                    listed += taken
            reads[t, b, 0], reads[t, b, 2], reads[t, b, 3] = left + listed, followed, listed


@njit(cache=True)
def votes(found, values, tau, out):
    for n in range(found.shape[0]):
        total = 0.0
        for k in range(found.shape[1]):
            if found[n, k] == {EMPTY}:
                break
            weight = math.exp((found[n, 0] // {PLACES} - found[n, k] // {PLACES}) / tau)
            out[n, values[found[n, k] % {PLACES}]] += weight
            total += weight
        if total > 0.0:
            out[n] /= total
"""


class Tables(NamedTuple):
    """Hash tables over keys: the keys whose bits under a mask fall into one bucket.

    masks    (tables, W) the sampled bits
    begin    (tables, buckets + 1) where a bucket begins in `members`
    members  (tables, N) places of keys
    """

    masks: Words
    begin: NDArray[np.int32]
    members: NDArray[np.int32]


class Reads(NamedTuple):
    """What a search read at every step, each (T, B).

    keys      keys that were compared
    tables    hash tables that were looked into
    pointers  neighbours of the step before, whose value was compared with the symbol
    places    keys that a bucket named
    """

    keys: NDArray[np.int64]
    tables: NDArray[np.int64]
    pointers: NDArray[np.int64]
    places: NDArray[np.int64]


@cached
def _kernel(entry: str, signature: str, title: str = "") -> Any:
    text = kernels.module_text("Search among packed keys", _TEXT)
    cache.load(text)
    return cache.function(cache.name_of(text), entry, signature, title)


def packed(truths: NDArray[np.bool_]) -> Words:
    """Pack truth values (..., bits) into words (..., ceil(bits / 64)); missing bits are zero.

    >>> packed(np.array([[True, False, True]]))
    array([[5]])
    """
    *others, bits = truths.shape
    octets = np.zeros((*others, -(-bits // 64) * 8), np.uint8)
    octets[..., : -(-bits // 8)] = np.packbits(truths, axis=-1, bitorder="little")
    return octets.view(np.int64)


def unpacked(words: Words, bits: int) -> NDArray[np.bool_]:
    """Return the truth values (..., bits) that were packed.

    >>> unpacked(np.array([[5]]), 3)
    array([[ True, False,  True]])
    """
    octets = np.ascontiguousarray(words).view(np.uint8)
    return np.unpackbits(octets, axis=-1, count=bits, bitorder="little").view(np.bool_)


def hashed(keys: Words, masks: Words) -> Tables:
    """Sort keys (N, W) into as many buckets as there are keys, for every mask (tables, W)."""
    wide = max(len(keys) - 1, 1).bit_length()
    places = np.empty(len(keys), np.int64)
    begin = np.empty((len(masks), (1 << wide) + 1), np.int32)
    members = np.empty((len(masks), len(keys)), np.int32)
    for table in range(len(masks)):
        _kernel("buckets", BUCKETS)(keys, masks, table, wide, places)
        members[table] = np.argsort(places, kind="stable")
        begin[table] = np.searchsorted(places[members[table]], np.arange((1 << wide) + 1))
    return Tables(masks, begin, members)


def search(
    queries: Words, symbols: Words, until: Words, before: Ranks, keys: Words,
    values: NDArray[np.int32], tables: Tables, need: float, most: int,
) -> tuple[Ranks, Reads]:  # fmt: skip
    """Find the neighbours (T, B, nearest) of queries (T, B, W), and what was read.

    symbols (T, B) are those that came with the step, until (B,) the valid steps, before
    (B, nearest) the neighbours of the step before the first. Past its last step a sample has none.
    """
    steps, batch, _ = queries.shape
    found = np.full((steps, *before.shape), EMPTY, np.int64)
    reads = np.zeros((steps, batch, len(Reads._fields)), np.int64)
    blocks = min(batch, BLOCKS)
    edges = [batch * k // blocks for k in range(blocks + 1)]
    queries, before = map(np.ascontiguousarray, (queries, before))
    kernel = _kernel("search", SEARCH, "the search of a memory")

    def work(block: int) -> None:
        kernel(
            edges[block], edges[block + 1], until, queries, symbols, keys, values, *tables, need,
            most, before, found, reads,
        )  # fmt: skip

    in_threads(work, blocks)
    return found, Reads(*reads.transpose(2, 0, 1))


def nearest_of_all(queries: Words, keys: Words, nearest: int) -> Ranks:
    """Find the neighbours (n, nearest) of queries (n, W) among all keys (N, W): exact search."""
    none = np.zeros((1, keys.shape[1]), np.int64)
    values, before = np.zeros(len(keys), np.int32), np.full((len(queries), nearest), EMPTY)
    one = np.ones(len(queries), np.int64)
    found, _ = search(
        queries[None], np.zeros((1, len(queries)), np.int64), one, before, keys, values,
        hashed(keys, none), 1, len(keys),
    )  # fmt: skip
    first: Ranks = found[0]
    return first


def votes(
    neighbours: Ranks, values: NDArray[np.int32], classes: int, tau: float
) -> NDArray[np.float64]:
    """Sum softmax(-distance / tau) of neighbours (..., nearest) by their values, (..., C).

    It is 0 for all classes where there is no neighbour.

    >>> votes(np.array([3 * PLACES + 0, 3 * PLACES + 1, EMPTY]), np.array([2, 0], np.int32), 3, 4.0)
    array([0.5, 0. , 0.5])
    """
    *others, nearest = neighbours.shape
    rows = np.ascontiguousarray(neighbours.reshape(-1, nearest))
    said = np.zeros((len(rows), classes))
    _kernel("votes", VOTES)(rows, values, float(tau), said)
    return said.reshape(*others, classes)
