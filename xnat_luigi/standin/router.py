"""Which handler answers an address: Restlet's best prefix for `/data`, whole matches elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .routes import Route

__all__ = ["Match", "Router"]

MOUNTS = ("/data", "/REST")


@dataclass
class _Node:
    literal: dict[str, _Node] = field(default_factory=dict)
    variable: _Node | None = None
    tail: dict[str, Route] | None = None
    methods: dict[str, Route] = field(default_factory=dict)


@dataclass
class Match:
    """What the router found: the verbs there, the variables, the unmatched rest."""

    methods: dict[str, Route]
    values: list[str]
    remainder: str

    def variables(self, route: Route) -> dict[str, str]:
        """The values under the names that this route gives them."""
        words = route.template.strip("/").split("/")
        names = [word.strip("{}").rstrip("*") for word in words if word.startswith("{")]
        return dict(zip(names, self.values, strict=True))

    def route(self, method: str) -> Route | None:
        """The route of a verb."""
        found = self.methods.get(method)
        return self.methods.get("GET") if found is None and method == "HEAD" else found


class Router:
    """A tree of path segments."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._rest = _Node()
        self._whole = _Node()
        for route in routes:
            if not route.template.startswith("/data/"):
                self._attach(self._whole, route.template, route)
                continue
            self._attach(self._rest, route.template[len("/data") :], route)

    @staticmethod
    def _attach(root: _Node, template: str, route: Route) -> None:
        node = root
        for segment in template.strip("/").split("/"):
            if segment.startswith("{") and segment.endswith("*}"):
                if node.tail is None:
                    node.tail = {}
                node.tail[route.method] = route
                return
            if segment.startswith("{"):
                if node.variable is None:
                    node.variable = _Node()
                node = node.variable
            else:
                node = node.literal.setdefault(segment, _Node())
        node.methods[route.method] = route

    def match(self, path: str) -> Match | None:
        """Finds the address; `path` is without context prefix and query, still percent-encoded."""
        mount = next((m for m in MOUNTS if path == m or path.startswith(m + "/")), None)
        if mount is None:
            return self._whole_match(path)
        rest = path[len(mount) :]
        twin = rest.startswith("/archive/")
        if twin:
            # `/data/archive` itself is no route, but PART B may have attached addresses there.
            found = self._prefix_match(rest[len("/archive") :])
            if found is not None and all(r.archive for r in found.methods.values()):
                return found
            return None
        return self._prefix_match(rest)

    def _whole_match(self, path: str) -> Match | None:
        found = self._walk(self._whole, path)
        return found if found is not None and not found.remainder.strip("/") else None

    def _prefix_match(self, path: str) -> Match | None:
        return self._walk(self._rest, path)

    def _walk(self, root: _Node, path: str) -> Match | None:
        segments = path.lstrip("/").split("/")
        best: tuple[int, dict[str, Route], list[str]] = (0, {}, [])

        def visit(node: _Node, depth: int, values: list[str]) -> None:
            nonlocal best
            if node.methods and depth > best[0]:
                best = (depth, node.methods, values)
            if depth == len(segments):
                return
            segment = segments[depth]
            if segment in node.literal:
                visit(node.literal[segment], depth + 1, values)
            if segment == "":
                return
            if node.variable is not None:
                visit(node.variable, depth + 1, [*values, segment])
            if node.tail is not None and len(segments) > best[0]:
                best = (len(segments), node.tail, [*values, "/".join(segments[depth:])])

        visit(root, 0, [])
        depth, methods, values = best
        if depth == 0:
            return None
        remainder = "/".join(segments[depth:])
        if depth < len(segments) and remainder == "":
            remainder = "/"  # a trailing slash, which is significant below files/
        return Match(methods, values, remainder)
