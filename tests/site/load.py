"""Visitors who ask a site without pause, and a count of what they did not get."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

# A visitor who waits longer has left.
PATIENCE = 10.0


@dataclass(frozen=True)
class Lost:
    """A request that got no answer, a wrong one or a late one; it was asked at ``start`` (`time.monotonic`)."""

    problem: str
    start: float
    seconds: float


@dataclass
class Load:
    """Clients in threads, each with one request after the other, each request on a connection of its own.

    A context: they ask until its end. A request is lost if it does not get 200 with a body that ``known``
    takes, or not within `PATIENCE`. ``seen`` has for each body when it came first and last, as `time.monotonic`.
    """

    address: str
    host: str
    path: str
    clients: int
    known: Callable[[str], bool]
    requests: int = 0
    slowest: float = 0.0
    lost: list[Lost] = field(default_factory=list)
    seen: dict[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask_on) for _ in range(self.clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask_on(self) -> None:
        while not self._over.is_set():
            start = time.monotonic()
            body, problem = self._ask()
            end = time.monotonic()
            if not problem and end - start > PATIENCE:
                problem = "late"
            with self._lock:
                self.requests += 1
                self.slowest = max(self.slowest, end - start)
                if problem:
                    self.lost.append(Lost(problem, start, end - start))
                else:
                    first, last = self.seen.get(body, (end, start))
                    # What counts is when it was asked: the answer to an old question may be late.
                    self.seen[body] = min(first, end), max(last, start)

    def _ask(self) -> tuple[str, str]:
        """The body, and what is wrong with the answer, if anything."""
        # Longer than a visitor waits, so that a late answer is told from none.
        connection = http.client.HTTPConnection(self.address, timeout=3 * PATIENCE)
        try:
            connection.request("GET", self.path, headers={"Host": self.host, "Connection": "close"})
            response = connection.getresponse()
            body = response.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            return "", f"{type(error).__name__}: {error}"
        finally:
            connection.close()
        if response.status != 200:
            return body, f"status {response.status}"
        return body, "" if self.known(body) else f"body {body[:80]!r}"
