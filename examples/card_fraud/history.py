"""Looking back from a moment: counts, sums and last values of what happened strictly before it.

Everything that is computed about the past goes through here, so one property covers all features:
an event at or after the moment asked about can never be seen.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from examples.card_fraud.population import Bools, Ints


class History:
    """Events of keys (cards, merchants or devices), ordered by key, then time, then original order.

    ``keys`` are non-negative integers, ``event_ms`` their times; both of shape (events,). ``order`` holds
    the original positions. Positions below are positions in this order.
    """

    def __init__(self, keys: Ints, event_ms: Ints) -> None:
        self.order = np.lexsort((event_ms, keys))
        self._origin = int(event_ms.min()) if len(event_ms) else 0
        self._span = int(event_ms.max()) - self._origin + 1 if len(event_ms) else 1
        # Key and time in one integer, so that one binary search finds a moment in a key's life.
        self._moments = keys[self.order] * self._span + (event_ms[self.order] - self._origin)

    def at(self, keys: Ints, at_ms: Ints) -> Ints:
        """Position of each key's first event at or after ``at_ms``: what comes before it is the past."""
        moment = keys * self._span + np.clip(at_ms - self._origin, 0, self._span)
        return np.searchsorted(self._moments, moment, side="left").astype(np.int64)

    def first(self, keys: Ints) -> Ints:
        """Position of each key's first event."""
        return np.searchsorted(self._moments, keys * self._span, side="left").astype(np.int64)

    def totals(self, amounts: Ints) -> Callable[[Ints, Ints], Ints]:
        """A function ``(start, end)`` that sums ``amounts`` over positions ``start <= p < end``, exactly."""
        running = np.concatenate([[0], np.cumsum(amounts[self.order], dtype=np.int64)])

        def total(start: Ints, end: Ints) -> Ints:
            return np.asarray(running[end] - running[start], dtype=np.int64)

        return total

    def last_where(self, usable: Bools, start: Ints, end: Ints) -> Ints:
        """Original position of the last usable event in ``start <= p < end``; -1 where there is none."""
        if not len(self.order):
            return np.full(len(start), -1, dtype=np.int64)
        position = np.arange(len(self.order))
        latest = np.maximum.accumulate(np.where(usable[self.order], position, -1))
        found = np.where(end > start, latest[np.maximum(end - 1, 0)], -1)
        return np.where(found >= start, self.order[np.maximum(found, 0)], -1).astype(np.int64)

    def distinct(self, values: Ints, start: Ints, end: Ints) -> Ints:
        """How many distinct ``values`` occur in ``start <= p < end``.

        An event counts if its value does not come again inside the window. Windows are short, so
        stepping back through all of them together takes as many steps as the longest has events.
        """
        again = self._next_same(values[self.order])
        count = np.zeros(len(start), dtype=np.int64)
        rows = np.flatnonzero(end > start)
        step = 1
        while len(rows):
            position = end[rows] - step
            count[rows] += again[position] >= end[rows]
            rows = rows[position > start[rows]]
            step += 1
        return count

    def first_of(self, values: Ints) -> Ints:
        """1 for each event (original order) whose key meets its value for the first time, else 0."""
        ordered = values[self.order]
        earlier = np.zeros(len(ordered), dtype=np.int64)
        again = self._next_same(ordered)
        earlier[again[again < len(ordered)]] = 1
        result = np.empty(len(ordered), dtype=np.int64)
        result[self.order] = 1 - earlier
        return result

    def _next_same(self, ordered: Ints) -> Ints:
        """Position of the same key's next event with the same value; the number of events if none."""
        n = len(ordered)
        key = self._moments // self._span
        by_value = np.lexsort((np.arange(n), ordered, key))
        same = (key[by_value][1:] == key[by_value][:-1]) & (ordered[by_value][1:] == ordered[by_value][:-1])
        following = np.full(n, n, dtype=np.int64)
        following[by_value[:-1][same]] = by_value[1:][same]
        return following
