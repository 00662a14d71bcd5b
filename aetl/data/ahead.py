"""Batches that are read while the one before is worked on."""

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

AHEAD = 2
"""So many are read before they are asked for, beside the one that is being read."""
_PAUSE = 0.1
"""Seconds between two looks of the reader whether anybody still waits for it."""


def ahead(values: Iterable[T]) -> Iterator[T]:
    """The same values, read by a thread; an error comes where its value would have.

    Whoever stops half way stops the thread, too.
    """
    places: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue(AHEAD)
    left = threading.Event()

    def put(more: bool, value: T | BaseException | None) -> None:
        while not left.is_set():
            try:
                places.put((more, value), timeout=_PAUSE)
            except queue.Full:
                continue
            return

    def read() -> None:
        try:
            for value in values:
                put(True, value)
                if left.is_set():
                    return
        except BaseException as error:
            put(False, error)
        else:
            put(False, None)

    reader = threading.Thread(target=read, name="reader", daemon=True)
    reader.start()
    try:
        while True:
            more, value = places.get()
            if not more:
                if isinstance(value, BaseException):
                    raise value
                return
            yield value  # type: ignore[misc]  # of the kind of the values
    finally:
        left.set()
        reader.join()
