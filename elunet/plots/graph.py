"""A network's graph: the forward pass, and the paths of a learning rule's signals.

Layers are drawn in boxes: a layer with a weight or with several inputs, and the layers that follow
it on its only path. Boxes are in the order of the forward pass, in columns like a text. Straight
arrows join neighbors. All other lines run in the gutters between columns, each in its own lane; the
lines of a direct rule share one.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from elunet._checks import choice, integer
from elunet.graph import INPUT
from elunet.network import Network
from elunet.plots._canvas import BLUE, GREEN, PURPLE, VERMILION, File, canvas, finish, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.path import Path

    from elunet.routers import Router

FORWARD, LOSS, TARGET = "forward", "loss", "target"
STYLES: dict[str, tuple[str, Any, str]] = {  # color, dashes, words
    FORWARD: ("#595959", "-", "forward"),
    "exact": (BLUE, (0, (5, 2)), "back, exact"),
    "feedback": (VERMILION, (0, (6, 1.5, 1, 1.5)), "back through B"),
    "direct": (GREEN, (0, (1.5, 1.2)), "projected directly"),
    "dilated": (PURPLE, (0, (3, 1, 1, 1, 1, 1)), "added, past the Jacobian"),
}

# All lengths are in inches.
WIDTH, GAP, LANE, MARGIN = 1.62, 0.3, 0.13, 0.16
LINE, PADDING = 0.135, 0.09
LETTERS = 25  # of small text in a line
CORNER, HEAD = 0.06, 0.1


@dataclass(frozen=True)
class Edge:
    """An arrow between two boxes, by their places in the order."""

    source: int
    target: int
    kind: str


@dataclass
class Box:
    """A box with some layers, or the input, the loss or the target."""

    names: tuple[str, ...]
    lines: list[str]
    weighted: bool = False
    column: int = 0
    top: float = 0.0
    bottom: float = 0.0


def network_graph(
    net: Network,
    router: Router | None = None,
    file: File = None,
    title: str = "",
    columns: int | None = None,
) -> Figure:
    """Draw the network's layers, and where a learning rule sends its signals.

    A box has a layer with a weight or with several inputs, and the layers after it on its only
    path. In the backward pass a signal leaves a box at its upper side, the input, and arrives at
    the lower side of another box, the output. What dilated backprop adds leaves at the lower side.
    Inside a box all signals are exact under every rule. The output layer's signal always comes from
    the loss.

    Parameters
    ----------
    net : Network
    router : Router, optional
        The rule whose ``paths(net)`` are drawn; without it only the forward pass is drawn.
    file : path, optional
        Where to save the figure; the ending tells the format.
    title : str
    columns : int, optional
        The number of columns, by default up to three.

    Returns
    -------
    matplotlib.figure.Figure
        Each arrow's ``get_gid()`` says what it is, such as ``"feedback: conv2 -> conv1"``, with the
        names of the boxes' first layers.

    Raises
    ------
    TypeError
        If `net` is not a Network, or `router` has no paths to draw.
    ValueError
        If the network has no layer, or a path an unknown kind or end.
    RuntimeError
        If the rule's paths depend on shapes and the network has not run yet.

    Examples
    --------
    >>> import elunet as eln
    >>> L = eln.layers
    >>> net = eln.Sequential([L.Linear(4, 8), L.ELU(), L.Linear(8, 2)], seed=0)
    >>> figure = eln.plots.network_graph(net, eln.routers.FeedbackAlignment())
    >>> for arrow in figure.axes[0].patches:
    ...     if str(arrow.get_gid()).startswith("feedback"):
    ...         print(arrow.get_gid())
    feedback: linear2 -> linear1
    """
    if not isinstance(net, Network):
        raise TypeError(f"network_graph: expected net as a Network, got {type(net).__name__}")
    if not net.nodes:
        raise ValueError("network_graph: expected a network of at least one layer, got none")
    if router is not None and not hasattr(router, "paths"):
        raise TypeError(f"network_graph: expected router with paths(net), got {router!r}")
    boxes = _boxes(net)
    edges = list(dict.fromkeys(_edges(net, router, boxes)))
    count = min(3, -(-len(boxes) // 7)) if columns is None else columns
    count = min(integer("network_graph", "columns", count), len(boxes))
    _fold(boxes, edges, count)
    drawing = _Drawing(boxes, edges, count)
    kinds = [kind for kind in STYLES if any(edge.kind == kind for edge in edges)]
    return finish(drawing.figure(kinds, title), title, file)


def _boxes(net: Network) -> list[Box]:
    """Return the boxes: the input's, then those of the layers."""
    takers = Counter(source for node in net.nodes for source in node.inputs)
    boxes = [Box((INPUT,), [INPUT])]
    for node in net.nodes:
        follows = (
            len(boxes) > 1
            and node.inputs == (boxes[-1].names[-1],)
            and takers[node.inputs[0]] == 1
            and not node.layer.weighted
        )
        if follows:
            boxes[-1].names += (node.name,)
        else:
            boxes.append(Box((node.name,), [], node.layer.weighted))
    about = {node.name: node.about for node in net.nodes}
    for box in boxes[1:]:
        small = [about[box.names[0]], ", ".join(box.names[1:])]
        name = textwrap.shorten(box.names[0], LETTERS, placeholder="...")
        box.lines = [name, *(part for text in small for part in _wrapped(text))]
    return boxes


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, LETTERS, break_on_hyphens=False)


def _edges(net: Network, router: Router | None, boxes: list[Box]) -> Iterator[Edge]:
    """Yield all arrows between boxes; with a router, add a box for the loss."""
    place = {name: index for index, box in enumerate(boxes) for name in box.names}
    for node in net.nodes:
        for source in node.inputs:
            if place[source] != place[node.name]:
                yield Edge(place[source], place[node.name], FORWARD)
    if router is None:
        return
    place[LOSS] = len(boxes)
    boxes.append(Box((LOSS,), [LOSS]))
    for name in net.outputs:
        yield Edge(place[name], place[LOSS], FORWARD)
        yield Edge(place[LOSS], place[name], "exact")
    for path in router.paths(net):
        choice("network_graph", f"kind of {path}", path.kind, tuple(STYLES)[1:])
        for name in {path.source, path.target} - {TARGET}:
            choice("network_graph", f"ends of {path}", name, tuple(net.names))
        if path.source == TARGET and TARGET not in place:
            place[TARGET] = len(boxes)
            boxes.append(Box((TARGET,), [TARGET]))
            yield Edge(place[TARGET], place[LOSS], FORWARD)
        if place[path.source] != place[path.target]:
            yield Edge(place[path.source], place[path.target], path.kind)


def _fold(boxes: list[Box], edges: Iterable[Edge], count: int) -> None:
    """Give each box its column; break between columns where few skips are cut."""
    cuts = Counter(
        place
        for edge in edges
        if edge.kind != "direct" and abs(edge.source - edge.target) > 1
        for place in range(min(edge.source, edge.target) + 1, max(edge.source, edge.target) + 1)
    )
    starts = [0]
    for column in range(1, count):
        ideal = round(column * len(boxes) / count)
        free = len(boxes) - (count - column)  # leave one box for each column to come
        options = range(starts[-1] + 1, free + 1)
        starts.append(min(options, key=lambda place: abs(place - ideal) + cuts[place] / 2))
    for index, box in enumerate(boxes):
        box.column = sum(index >= start for start in starts) - 1


Point = tuple[float, float]
Lane = tuple[int, int]
"""A gutter, gutter g being left of column g, and a place in it."""


@dataclass
class Route:
    """The route of a line between the sides of two boxes: one lane, or two lanes and a channel."""

    edge: Edge
    sides: tuple[str, str]
    ends: tuple[float, float]
    lanes: list[Lane]
    channel: float | None = None


class _Drawing:
    """The boxes and lines in inches, y upwards, the boxes' top at 0."""

    def __init__(self, boxes: list[Box], edges: list[Edge], columns: int) -> None:
        self.boxes, self.edges, self.columns = boxes, edges, columns
        self.taken: list[list[list[Point]]] = [[] for _ in range(columns + 1)]  # gutter, lane, span
        self.channels: dict[tuple[int, str], float] = {}
        self.ports: Counter[tuple[int, str, str]] = Counter()
        self._stack()
        direct = [edge for edge in edges if edge.kind == "direct"]
        self.buses = [
            self._bus(source, [edge for edge in direct if edge.source == source])
            for source in dict.fromkeys(edge.source for edge in direct)
        ]
        others = [edge for edge in edges if edge.kind != "direct"]
        self.straight = [edge for edge in others if self._is_straight(edge)]
        rest = [edge for edge in others if not self._is_straight(edge)]
        rest.sort(key=lambda edge: abs(edge.source - edge.target))  # short lines nearer the boxes
        self.routes = [self._route(edge) for edge in rest]
        self._widen()

    def _stack(self) -> None:
        """Place the boxes from top to bottom in each column."""
        depth = [0.0] * self.columns
        for box in self.boxes:
            box.top = -depth[box.column]
            box.bottom = box.top - LINE * len(box.lines) - PADDING
            depth[box.column] = GAP - box.bottom
        self.depth = max(depth) - GAP

    def _is_straight(self, edge: Edge) -> bool:
        """Whether an arrow goes from a box to its neighbor, above or below."""
        same = self.boxes[edge.source].column == self.boxes[edge.target].column
        return same and abs(edge.source - edge.target) == 1 and edge.kind != "dilated"

    def _bus(self, source: int, edges: list[Edge]) -> list[Route]:
        """Plan a direct rule's lines, which share their lanes to the right of each column."""
        start = self._port(source, "right", "high")
        home = self.boxes[source].column
        ends = [(edge, self._port(edge.target, "right", "low")) for edge in edges]
        columns = {self.boxes[edge.target].column for edge in edges}
        far = bool(columns - {home})
        away = self._channel(source, "direct") if far else 0.0
        lanes = {}
        for column in columns | {home}:
            heights = [y for edge, y in ends if self.boxes[edge.target].column == column]
            heights += [start] * (column == home) + [away] * far
            lanes[column] = self._lane(column + 1, heights)
        routes = []
        for edge, end in ends:
            column = self.boxes[edge.target].column
            ways = [lanes[home]] if column == home else [lanes[home], lanes[column]]
            channel = None if column == home else away
            routes.append(Route(edge, ("right", "right"), (start, end), ways, channel))
        return routes

    def _route(self, edge: Edge) -> Route:
        """Plan a line: forward on the left of a column, back on the right."""
        columns = self.boxes[edge.source].column, self.boxes[edge.target].column
        forward = edge.kind == FORWARD
        if columns[0] == columns[1]:
            sides = ("left", "left") if forward else ("right", "right")
        else:
            sides = ("right", "left") if columns[0] < columns[1] else ("left", "right")
        low_start = forward or edge.kind == "dilated"
        ends = (
            self._port(edge.source, sides[0], "low" if low_start else "high"),
            self._port(edge.target, sides[1], "high" if forward else "low"),
        )
        gutters = [column + (side == "right") for column, side in zip(columns, sides, strict=True)]
        if gutters[0] == gutters[1]:
            return Route(edge, sides, ends, [self._lane(gutters[0], ends)])
        channel = self._channel(edge.source, edge.kind)
        lanes = [self._lane(g, (y, channel)) for g, y in zip(gutters, ends, strict=True)]
        return Route(edge, sides, ends, lanes, channel)

    def _port(self, place: int, side: str, half: str) -> float:
        """Return the height at which a line meets a box's side: inputs are high, outputs low."""
        box = self.boxes[place]
        self.ports[place, side, half] += 1
        step = min(0.07 * self.ports[place, side, half], box.top - box.bottom - 0.03)
        return box.top - step if half == "high" else box.bottom + step

    def _channel(self, source: int, kind: str) -> float:
        """Return the height above all boxes of what a box sends to far columns."""
        return self.channels.setdefault((source, kind), LANE * (len(self.channels) + 1))

    def _lane(self, gutter: int, heights: Iterable[float]) -> Lane:
        """Return the first lane of a gutter that is free between all heights, and take it."""
        span = sorted(heights)
        low, high = span[0] - 0.05, span[-1] + 0.05
        for number, spans in enumerate(self.taken[gutter]):
            if all(high < bottom or top < low for bottom, top in spans):
                spans.append((low, high))
                return gutter, number
        self.taken[gutter].append([(low, high)])
        return gutter, len(self.taken[gutter]) - 1

    def _widen(self) -> None:
        """Make each gutter as wide as its lanes need, and find where lanes and columns are."""
        self.left: list[float] = []  # of each column
        self.starts: list[float] = []  # of each gutter
        x = 0.0
        for gutter, lanes in enumerate(self.taken):
            outer = gutter in (0, self.columns)
            self.starts.append(x)
            if lanes or not outer:
                x += LANE * max(0, len(lanes) - 1) + MARGIN + (0.05 if outer else MARGIN)
            if gutter < self.columns:
                self.left.append(x)
                x += WIDTH
        self.width = x

    def _lane_x(self, lane: Lane) -> float:
        """Return where a lane is: counted from the boxes that lines mostly come from."""
        gutter, number = lane
        if gutter == 0:
            return self.left[0] - MARGIN - LANE * number
        return self.starts[gutter] + MARGIN + LANE * number

    def figure(self, kinds: list[str], title: str) -> Figure:
        """Draw everything."""
        from matplotlib.lines import Line2D

        across = max(1, int(self.width / 1.7))  # entries in a line of the legend
        width = max(self.width, 3.0) + 0.1
        above = 0.08 + LANE * len(self.channels)
        if title:
            above += 0.1 + 0.2 * len(wrapped(title, width).split("\n"))
        below = 0.2 + 0.19 * -(-len(kinds) // across)
        size = (width, self.depth + above + below)
        figure = canvas(*size)
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(self.width / 2 - size[0] / 2, self.width / 2 + size[0] / 2)
        axes.set_ylim(-self.depth - below, above)
        axes.set_axis_off()
        for box in self.boxes:
            self._box(axes, box)
        for edge in self.straight:
            self._line(axes, edge, self._straight(edge))
        for route in self.routes:
            self._line(axes, route.edge, self._points(route))
        for bus in self.buses:
            self._tree(axes, bus)
        handles = [
            Line2D([], [], color=STYLES[kind][0], linestyle=STYLES[kind][1], label=STYLES[kind][2])
            for kind in kinds
        ]
        axes.legend(
            handles=handles, loc="lower center", ncols=across, fontsize=8, frameon=False,
            handlelength=3.2, borderaxespad=0.1, columnspacing=1.2, labelspacing=0.3,
        )  # fmt: skip
        return figure

    def _box(self, axes: Axes, box: Box) -> None:
        from matplotlib.patches import FancyBboxPatch

        left, pill = self.left[box.column], len(box.lines) == 1
        axes.add_patch(
            FancyBboxPatch(
                (left, box.bottom), WIDTH, box.top - box.bottom, linewidth=0.8, zorder=3,
                boxstyle=f"round,pad=0,rounding_size={0.1 if pill else 0.03}",
                facecolor="#E8EEF4" if box.weighted else "white", edgecolor="#7F7F7F",
                gid=f"box: {box.names[0]}",
            )
        )  # fmt: skip
        for number, text in enumerate(box.lines):
            y = box.top - PADDING / 2 - LINE * (number + 0.5)
            look: dict[str, Any] = {"ha": "center", "va": "center_baseline", "zorder": 4}
            look["fontweight"] = "bold" if number == 0 and not pill else "normal"
            axes.text(left + WIDTH / 2, y, text, fontsize=7 if number else 8, **look)

    def _straight(self, edge: Edge) -> list[Point]:
        source, target = self.boxes[edge.source], self.boxes[edge.target]
        x = self.left[source.column] + WIDTH / 2 + (-0.2 if edge.kind == FORWARD else 0.2)
        if edge.target > edge.source:
            return [(x, source.bottom), (x, target.top)]
        return [(x, source.top), (x, target.bottom)]

    def _points(self, route: Route) -> list[Point]:
        """Return the corners of a line's route."""
        places = route.edge.source, route.edge.target
        first, last = (
            (self.left[self.boxes[place].column] + WIDTH * (side == "right"), y)
            for place, side, y in zip(places, route.sides, route.ends, strict=True)
        )
        x = [self._lane_x(lane) for lane in route.lanes]
        if route.channel is None:
            return [first, (x[0], first[1]), (x[0], last[1]), last]
        turns = [(x[0], first[1]), (x[0], route.channel), (x[1], route.channel), (x[1], last[1])]
        return [first, *turns, last]

    def _tree(self, axes: Axes, bus: list[Route]) -> None:
        """Draw a direct rule's lines; draw a shared part once, or its dashes would fill up."""
        home = {route.lanes[0] for route in bus}
        ways = [(route, self._points(route)) for route in bus]
        ways.sort(key=lambda way: (abs(way[1][-1][0] - way[1][0][0]), _length(way[1])))
        passed: set[Lane] = set()
        for route, points in reversed(ways):  # the farthest first
            if not passed:
                passed |= home
                start = 0
            elif route.lanes[-1] in passed:
                start = -2
            else:
                start = 3  # down from the channel
            passed.add(route.lanes[-1])
            self._line(axes, route.edge, points[start:])

    def _line(self, axes: Axes, edge: Edge, points: list[Point]) -> None:
        """Draw a line with round corners and a head, whose outline is not dashed."""
        from matplotlib.patches import PathPatch, Polygon

        color, dashes, _ = STYLES[edge.kind]
        names = [self.boxes[place].names[0] for place in (edge.source, edge.target)]
        (x0, y0), tip = points[-2:]
        length = abs(tip[0] - x0) + abs(tip[1] - y0)
        dx, dy = (tip[0] - x0) / length, (tip[1] - y0) / length
        neck = (tip[0] - HEAD * dx, tip[1] - HEAD * dy)
        side = (0.4 * HEAD * dy, -0.4 * HEAD * dx)
        wings = [(neck[0] + s * side[0], neck[1] + s * side[1]) for s in (1, -1)]
        axes.add_patch(
            PathPatch(
                _rounded([*points[:-1], neck]), facecolor="none", edgecolor=color, lw=1.4, zorder=2,
                linestyle=dashes, capstyle="butt", gid=f"{edge.kind}: {names[0]} -> {names[1]}",
            )
        )  # fmt: skip
        axes.add_patch(Polygon([tip, *wings], facecolor=color, edgecolor="none", zorder=2))


def _length(points: list[Point]) -> float:
    """Return the length of a route of horizontal and vertical lines."""
    return sum(abs(a[0] - b[0]) + abs(a[1] - b[1]) for a, b in pairwise(points))


def _rounded(points: list[Point]) -> Path:
    """Return a path through the points with round corners."""
    from matplotlib.path import Path

    corners, codes = [points[0]], [Path.MOVETO]
    for before, at, after in zip(points, points[1:], points[2:], strict=False):
        corners += [_towards(at, before), at, _towards(at, after)]
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    return Path([*corners, points[-1]], [*codes, Path.LINETO])


def _towards(a: Point, b: Point) -> Point:
    """Return the point on the way from a to b at a corner's radius, or the middle if nearer."""
    length = _length([a, b])
    share = min(CORNER, length / 2) / length if length else 0.0
    return a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])
