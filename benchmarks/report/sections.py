"""The tables, one function a section. A section without results is empty."""

from benchmarks.options import KB
from benchmarks.report.table import table
from benchmarks.results import Label, Results

SHOWN = 64
"""The concurrency at which costs are shown."""


def saves(results: Results) -> str:
    """Rates, costs and times for every size of states."""
    return _join([_saves_of(results, size) for size in results.values("saves", "state_bytes")])


def client(results: Results) -> str:
    """The Python client and the savers."""
    head = ("64 in flight", "states", "saves/s", "p50 ms", "p99 ms", "own CPU us", "server us", "database us")
    rows = [
        (str(name), f"{_int(size) // KB} KB", *_rate_and_times(results, "client", name=name, state_bytes=size))
        for size in results.values("client", "state_bytes")
        for name in results.values("client", "name")
    ]
    return table(head, rows) if rows else ""


def loads(results: Results) -> str:
    """Rates and times of loads."""
    parts = []
    for session in results.values("loads", "session"):
        shown = results.values("loads", "concurrency")
        rows = [
            (str(name), *_over(results, "loads", shown, name=name, session=session))
            for name in results.values("loads", "name")
        ]
        parts.append(table((f"{session} session: loads/s (p50 ms) by loads in flight", *map(str, shown)), rows))
    return _join(parts)


def growth(results: Results) -> str:
    """Bytes and times at every length."""
    turns = results.values("growth", "turns")
    parts = []
    for figure, what in (("stored", "stored KB"), ("save", "save, ms"), ("load", "load, ms")):
        rows = [
            (str(name), *(_thousandth(results, "growth", figure, name=name, turns=length) for length in turns))
            for name in results.values("growth", "name")
        ]
        if figure == "stored" and rows:
            rows.insert(
                0, ("the state itself", *(_thousandth(results, "growth", "state", turns=each) for each in turns))
            )
        parts.append(table((f"{what} by turns", *(f"{_int(each):,}" for each in turns)), rows))
    return _join([*parts, _lengths(results)]) if turns else ""


def graph(results: Results) -> str:
    """A graph's turns on every saver."""
    turns = next(iter(results.values("graph", "turns")), 0)
    shown = (("stored", 1e-3, 0), ("empty", 1e-3, 0), ("payload", 1e-3, 0), ("steps", 1, 0), ("wall", 1, 2))
    rows = [
        (
            str(name),
            *(_scaled(results.median("graph", figure, name=name), by, digits) for figure, by, digits in shown),
            _scaled(results.median("graph", "own_cpu", name=name), 1, 2),
            _scaled(results.median("graph-saves", "rate", name=name)),
        )
        for name in results.values("graph", "name")
    ]
    head = ("stored KB", "empty KB", "payload KB", "checkpoints", "wall s", "own CPU s", "saves/s, 64 threads")
    return table((f"{turns:,} turns of a graph", *head), rows) if rows else ""


def weavegraph(results: Results) -> str:
    """Sessions of a weavegraph runner."""
    figures = (
        ("rate", 1, 0),
        ("p50", 1e3, 2),
        ("p99", 1e3, 2),
        ("last", 1e3, 2),
        ("load", 1e3, 2),
        ("stored", 1e-3, 0),
    )
    parts = []
    for shape in results.values("weavegraph", "shape"):
        labels = next(results.matching("weavegraph", shape=shape)).labels
        rows = [
            (
                str(name),
                *(
                    _scaled(results.median("weavegraph", figure, name=name, shape=shape), by, digits)
                    for figure, by, digits in figures
                ),
            )
            for name in results.values("weavegraph", "name")
        ]
        count, turns = _int(labels["sessions"]), _int(labels["turns"])
        title = f"{count:,} {'session' if count == 1 else 'sessions'} of {turns:,} turns"
        parts.append(table((title, "saves/s", "p50 ms", "p99 ms", "last ten saves ms", "load ms", "stored KB"), rows))
    return _join(parts)


def sessions(results: Results) -> str:
    """Memory and lists."""
    counts, sizes = results.values("sessions", "sessions"), results.values("lists", "page_size")
    if not counts:
        return ""
    memory = [
        (
            str(name),
            *(_scaled(results.median("sessions", "memory", name=name, sessions=each), 1e-6, 1) for each in counts),
        )
        for name in results.values("sessions", "name")
    ]
    lists = [
        (
            str(name),
            f"{size}",
            *(_scaled(results.median("lists", figure, name=name, page_size=size), 1e3, 2) for figure in ("p50", "p99")),
        )
        for name in results.values("lists", "name")
        for size in sizes
    ]
    return _join(
        [
            table(("memory of the server, MB, by sessions", *(f"{_int(each):,}" for each in counts)), memory),
            table(("ListSessions, all pages", "sessions a page", "p50 ms", "p99 ms"), lists),
        ]
    )


def workers(results: Results) -> str:
    """Two processes and one."""
    counts = results.values("workers", "workers")
    rows = [
        (str(name), *(_scaled(results.median("workers", "rate", name=name, workers=each)) for each in counts))
        for name in results.values("workers", "name")
    ]
    return table(("saves/s of 2 KB, 64 in flight, by workers", *map(str, counts)), rows) if rows else ""


def doors(results: Results) -> str:
    """The HTTP door and grpc.aio."""
    names = [str(name) for name in results.values("doors", "name")]
    rows = []
    for name, base in zip(names, _each_base(names), strict=True):
        alone, many = ({"name": name, "concurrency": each} for each in results.values("doors", "concurrency"))
        rate = results.ratio("doors", "rate", many, {**many, "name": base})
        wait = results.ratio("doors", "p50", alone, {**alone, "name": base})
        rows.append(
            (
                name,
                _scaled(results.median("doors", "rate", **many)),
                _scaled(results.median("doors", "p50", **alone), 1e3, 2),
                _scaled(rate, digits=2),
                _scaled(wait, digits=2),
            )
        )
    head = ("door", "saves/s, 64 in flight", "p50 alone, ms", "rate, of grpc.aio", "p50, of grpc.aio")
    return table(head, rows) if rows else ""


def _each_base(names: list[str]) -> list[str]:
    """Contestants come in pairs, the one on grpc.aio first."""
    return [names[number - number % 2] for number in range(len(names))]


def tracing(results: Results) -> str:
    """With and without."""
    rows = []
    for name in results.values("tracing", "name"):
        base = f"off, {str(name).rpartition(', ')[2]}"
        cost = results.median("tracing", "server_cpu", name=name)
        ratio = results.ratio("tracing", "server_cpu", {"name": name}, {"name": base})
        more = f"{100 * (ratio - 1):+.0f}%" if ratio else ""
        rows.append((str(name), *_rate_and_times(results, "tracing", name=name)[:3], _scaled(cost, 1e6), more))
    head = ("tracing", "saves/s", "p50 ms", "p99 ms", "server CPU us", "more than off")
    return table(head, rows) if rows else ""


def merging(results: Results) -> str:
    """With and without."""
    rows = [
        (
            str(name),
            *(_thousandth(results, "merging", figure, name=name) for figure in ("state", "at_once", "stored", "load")),
            _scaled(results.median("merging", "rate", name=name)),
        )
        for name in results.values("merging", "name")
    ]
    head = ("rows", "state KB", "at once KB", "settled KB", "load ms", "saves/s, 64 in flight")
    return table(head, rows) if rows else ""


def _saves_of(results: Results, size: Label) -> str:
    shown, names = results.values("saves", "concurrency"), results.values("saves", "name")
    at = SHOWN if SHOWN in shown else shown[-1]
    rates, times = [], []
    for name in names:
        rate = [
            _scaled(results.median("saves", "rate", name=name, state_bytes=size, concurrency=each)) for each in shown
        ]
        costs = [
            _scaled(results.median("saves", figure, name=name, state_bytes=size, concurrency=at), 1e6)
            for figure in ("server_cpu", "database_cpu", "load_cpu")
        ]
        rates.append((str(name), *rate, *costs))
        times.append((str(name), *(_times(results, name=name, state_bytes=size, concurrency=each) for each in shown)))
    title = f"{_int(size) // KB} KB"
    costs_head = [f"{who} us" for who in ("server", "database", "load")]
    return _join(
        [
            table((f"{title} states: saves/s by saves in flight", *map(str, shown), *costs_head), rates),
            table((f"{title} states: p50 / p99, ms, by saves in flight", *map(str, shown)), times),
        ]
    )


def _times(results: Results, **labels: Label) -> str:
    p50, p99 = (_scaled(results.median("saves", figure, **labels), 1e3, 2) for figure in ("p50", "p99"))
    return f"{p50} / {p99}"


def explorer(results: Results) -> str:
    """First bytes of pages."""
    count = next(iter(results.values("explorer", "sessions")), 0)
    rows = [
        (
            str(name),
            _scaled(results.median("explorer", "first_byte", page=name), 1e3),
            _scaled(max(run.figures["first_byte"] for run in results.matching("explorer", page=name)), 1e3),
        )
        for name in results.values("explorer", "page")
    ]
    return table((f"first byte, ms, of {_int(count):,} sessions", "median", "slowest"), rows) if rows else ""


def _rate_and_times(results: Results, part: str, **labels: Label) -> list[str]:
    shown = [("rate", 1, 0), ("p50", 1e3, 2), ("p99", 1e3, 2)]
    shown += [(figure, 1e6, 0) for figure in ("load_cpu", "server_cpu", "database_cpu")]
    return [_scaled(results.median(part, figure, **labels), by, digits) for figure, by, digits in shown]


def _over(results: Results, part: str, concurrency: list[Label], **labels: Label) -> list[str]:
    cells = []
    for each in concurrency:
        rate, p50 = (results.median(part, figure, **labels, concurrency=each) for figure in ("rate", "p50"))
        cells.append(f"{_scaled(rate)} ({_scaled(p50, 1e3, 2)})")
    return cells


def _lengths(results: Results) -> str:
    figures = ("save_short", "save_long", "load_once", "load_long")
    rows = [
        (str(name), *(_scaled(results.median("lengths", figure, name=name), 1e3, 2) for figure in figures))
        for name in results.values("lengths", "name")
    ]
    turns = next(iter(results.values("lengths", "turns")), 0)
    head = (
        "in turns, ms",
        "delta save, turn 10",
        f"turn {turns:,}",
        "load, state saved at once",
        f"in {turns:,} turns",
    )
    return table(head, rows) if rows else ""


def _thousandth(results: Results, part: str, figure: str, **labels: Label) -> str:
    """Bytes as KB, seconds as ms."""
    median = results.median(part, figure, **labels)
    return _scaled(median, 1e-3) if figure in ("stored", "state", "at_once") else _scaled(median, 1e3, 2)


def _scaled(figure: float | None, by: float = 1, digits: int = 0) -> str:
    return "-" if figure is None else f"{figure * by:,.{digits}f}"


def _int(label: Label) -> int:
    assert isinstance(label, int)
    return label


def _join(parts: list[str]) -> str:
    return "\n\n".join(filter(None, parts))
