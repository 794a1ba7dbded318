"""Songs in random order, the tracks of a song side by side, as one long sequence that is computed place by place.

A sequence of places is laid out once, each place meant for a song of a certain size. Every epoch cuts it into blocks,
always at the same seams, and puts the blocks in another order; and every song takes the place of another song of its
size. Both are needed: without the first, songs of a size that few have would stand at the same distance from each
other in every epoch, and might never share a batch; without the second, the songs of a block would.
"""

from __future__ import annotations

import numpy as np

from loaders.order.permutation import Integers, hash_bits, permute

BLOCKS = 1024  # enough that two given songs are seldom in one, few enough to be put in order at every call


class SongSequence:
    """The sequences of all epochs.

    Args:
        by_song: tracks, those of a song side by side, shape ``[N]``.
        first: where each song begins in ``by_song``, shape ``[songs]``.
        sizes: tracks of each song, shape ``[songs]``.
        most: places a song gets at the most; one that has more tracks gives that many of them, others every epoch.
        seed: any integer.
    """

    def __init__(self, by_song: Integers, first: Integers, sizes: Integers, most: int, seed: int) -> None:
        self._seed = seed
        # Songs by size: those of size class_size[c] are numbered from class_begins[c] on.
        by_size = np.argsort(sizes, kind="stable")
        songs_of_size = np.bincount(sizes)
        self._class_size = np.flatnonzero(songs_of_size)
        self._songs_in_class = songs_of_size[self._class_size]
        self._class_begins = np.cumsum(self._songs_in_class) - self._songs_in_class
        # The places, songs in an order that is the same in every epoch: slot after slot, a slot as long as its song.
        number = np.argsort(hash_bits(seed, 0, np.arange(len(sizes)), "order.slot"))
        lengths = np.minimum(sizes[by_size], most)[number]
        ends = np.cumsum(lengths)
        seams = np.arange(min(BLOCKS, len(sizes)) + 1) * len(sizes) // min(BLOCKS, len(sizes))
        self._block_ends = ends[seams[1:] - 1]
        # One number for each track or song: 20 bytes per track at the most.
        narrow = np.int32 if len(by_song) < 2**31 else np.int64
        self._by_song = by_song.astype(narrow)
        self._first = first[by_size].astype(narrow)
        self._slot_of_place = np.repeat(np.arange(len(sizes), dtype=narrow), lengths)
        self._slot_begins = (ends - lengths).astype(narrow)
        self._number_of_slot = number.astype(narrow)

    def tracks_at(self, epoch: int, places: Integers) -> Integers:
        """Who stands at some places of the sequence in an epoch; any shape."""
        blocks = np.argsort(hash_bits(self._seed, epoch, np.arange(len(self._block_ends)), "order.block"))
        lengths = np.diff(self._block_ends, prepend=0)[blocks]
        ends = np.cumsum(lengths)
        block = np.searchsorted(ends, places, side="right")
        # A block that ends at place e this epoch and at place f of the layout is moved by f - e.
        place = places + (self._block_ends[blocks] - ends)[block]
        slot = self._slot_of_place[place]
        nth = place - self._slot_begins[slot]
        number = self._number_of_slot[slot]
        kind = np.searchsorted(self._class_begins, number, side="right") - 1
        keys = hash_bits(self._seed, epoch, self._class_size, "order.song")
        begin = self._class_begins[kind]
        song = begin + permute(number - begin, self._songs_in_class[kind], keys[kind])
        keys = hash_bits(self._seed, epoch, song.reshape(-1), "order.track").reshape(song.shape)
        nth = permute(nth, self._class_size[kind], keys)
        tracks: Integers = self._by_song[self._first[song] + nth].astype(np.int64)
        return tracks
