"""Rules that make the server misbehave: matched against a request, applied to its answer."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import Any

__all__ = ["Fault", "Faults"]


@dataclass
class Fault:
    """One rule. Which requests: `method`, `path` (regular expression, searched in path?query),
    `nth` (only the nth matching request, from 1), `times` (how often at most; None: always),
    `skip` (let the first ones pass), `probability` with `seed`.

    What happens, before the work: `delay` (seconds), `hang` (never answer), `close` (close without
    an answer), `reset` (TCP reset without an answer), `status` (answer this instead; `headers` and
    `html`/`body` go with it), `redirect` (302 or `status`, to this address; `""` gives no
    Location).

    After the work is done: `drop` (work done, connection closed without an answer), `answer_delay`,
    `cut` (body ends after this many bytes, connection closed), `cut_reset` (with a TCP reset),
    `no_length` (no Content-Length and no chunks: the body ends with the connection), `stall`
    (seconds of silence after `stall_after` bytes), `drip` (bytes per second), `extra` (bytes added
    beyond the length, as text), `flip` (this byte of the body is inverted; -1 is the last),
    `ignore_range`, `wrong_range` (206 for another place), `replace` (the body is replaced; bytes
    that are no text come as surrogate escapes), `rewrite_status` (the true answer under another
    status), `headers` (added to the true answer).
    """

    method: str = ""
    path: str = ""
    nth: int | None = None
    times: int | None = None
    skip: int = 0
    probability: float = 1.0
    seed: int = 0

    delay: float = 0.0
    hang: bool = False
    close: bool = False
    reset: bool = False
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    html: bool = False
    body: str | None = None
    redirect: str | None = None

    drop: bool = False
    answer_delay: float = 0.0
    cut: int | None = None
    cut_reset: bool = False
    no_length: bool = False
    stall: float | None = None
    stall_after: int = 0
    drip: int | None = None
    extra: str = ""
    flip: int | None = None
    ignore_range: bool = False
    wrong_range: bool = False
    replace: str | None = None
    rewrite_status: int | None = None

    id: int = 0
    matched: int = 0
    """How many requests the rule has seen that fit."""
    fired: int = 0
    """How many of them it was applied to."""

    def __post_init__(self) -> None:
        self._pattern = re.compile(self.path)
        self._dice = random.Random(self.seed)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Fault:
        """A rule from JSON.

        Raises: `ValueError` naming the field that does not exist.
        """
        known = {f.name for f in fields(cls)} - {"id", "matched", "fired"}
        unknown = set(values) - known
        if unknown:
            raise ValueError(f"a fault rule has no field {', '.join(sorted(unknown))}")
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """The rule as JSON, with its counts."""
        return asdict(self)

    def fits(self, method: str, target: str) -> bool:
        """Whether this request is meant; counts it."""
        if self.method and method not in self.method.split("|"):
            return False
        if not self._pattern.search(target):
            return False
        self.matched += 1
        if self.nth is not None and self.matched != self.nth:
            return False
        if self.matched <= self.skip:
            return False
        if self.times is not None and self.fired >= self.times:
            return False
        if self.probability < 1.0 and self._dice.random() >= self.probability:
            return False
        self.fired += 1
        return True

    @property
    def answers_itself(self) -> bool:
        """Whether the work is not done at all."""
        return bool(
            self.hang
            or self.close
            or self.reset
            or self.status is not None
            or self.redirect is not None
        )

    @property
    def touches_body(self) -> bool:
        """Whether the answer has to be written by hand."""
        return bool(
            self.cut is not None
            or self.cut_reset
            or self.no_length
            or self.stall is not None
            or self.drip is not None
            or self.extra
            or self.flip is not None
            or self.wrong_range
            or self.replace is not None
        )


class Faults:
    """The rules in force; the first one that fits is applied."""

    def __init__(self) -> None:
        self._rules: list[Fault] = []
        self._lock = threading.Lock()
        self._last = 0

    def add(self, fault: Fault) -> Fault:
        """Puts a rule in force and returns it with its id."""
        with self._lock:
            self._last += 1
            fault.id = self._last
            self._rules.append(fault)
        return fault

    def remove(self, fault_id: int) -> bool:
        """Takes a rule out; False if there is none of this id."""
        with self._lock:
            before = len(self._rules)
            self._rules = [rule for rule in self._rules if rule.id != fault_id]
            return len(self._rules) < before

    def clear(self) -> None:
        """Takes all rules out."""
        with self._lock:
            self._rules.clear()

    def any(self) -> bool:
        """Whether there is any rule."""
        return bool(self._rules)

    def __iter__(self) -> Iterator[Fault]:
        with self._lock:
            return iter(list(self._rules))

    def match(self, method: str, target: str) -> Fault | None:
        """The rule for a request, if any."""
        if not self._rules:
            return None
        with self._lock:
            return next((rule for rule in self._rules if rule.fits(method, target)), None)
