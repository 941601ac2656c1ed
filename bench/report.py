"""From cells to figures: medians with their spread, ratios within a round, a Markdown table and JSON."""
import statistics


def median(values):
    return statistics.median(values) if values else None


def spread(values):
    """Half the range between the quartiles, as a share of the median."""
    if len(values) < 3 or not median(values):
        return None
    low, _, high = statistics.quantiles(values, n=4)
    return (high - low) / 2 / median(values)


def summarise(cells, label, reference, key):
    """The median of a figure over rounds, its spread, and the median of its ratio to `reference` in the same round."""
    mine = {c["round"]: c[key] for c in cells if c["label"] == label and c.get("valid") and c.get(key) is not None}
    theirs = {c["round"]: c[key] for c in cells if c["label"] == reference and c.get("valid") and c.get(key) is not None}
    ratios = [mine[r] / theirs[r] for r in mine if theirs.get(r)]
    return {"median": median(list(mine.values())), "spread": spread(list(mine.values())), "rounds": len(mine),
            "ratio": median(ratios), "ratio_spread": spread(ratios)}


def labels(cells):
    return list(dict.fromkeys(c["label"] for c in cells))


def ratio_of(first, cells, key):
    """Ratios of the first contender to each other one."""
    out = {}
    for other in labels(cells):
        if other != first:
            r = summarise(cells, first, other, key)
            if r["ratio"]:
                out[other] = (r["ratio"], r["ratio_spread"])
    return out


def number(x, digits=1):
    if x is None:
        return "–"
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.{digits}f}"


def percent(x):
    return "" if x is None else f" ±{100 * x:.0f}%"


def table(head, rows):
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] + ["| " + " | ".join(r) + " |" for r in rows])


def bar_line(result, cells):
    """What was to hold of the scenario, and whether it did."""
    if not result.get("bar"):
        return []
    label, most, unit = result["bar"]
    first = labels(cells)[0]
    if unit == "times":
        ratios = ratio_of(first, cells, "cpu")
        measured = ratios[label][0] if label in ratios else None
    else:
        pairs = {}
        for c in cells:
            if c["valid"]:
                pairs.setdefault(c["round"], {})[c["label"]] = c["cpu"]
        measured = median([p[first] - p[label] for p in pairs.values() if first in p and label in p])
    if measured is None:
        return []
    return ["", f"To hold: at most {most} {unit} against {label}; measured **{measured:.2f}**{'' if measured <= most else ', which is **too much**'}."]


def drive_section(title, result):
    cells = result["cells"]
    rows = []
    for label in labels(cells):
        s = {k: summarise(cells, label, label, k) for k in ("cpu", "user", "system", "rate", "p50", "p99", "p999", "fixed_p50", "fixed_p99", "fixed_p999", "memory", "stand")}
        bad = sum(1 for c in cells if c["label"] == label and not c["valid"])
        rows.append([label, number(s["cpu"]["median"], 2) + percent(s["cpu"]["spread"]), number(s["user"]["median"], 2), number(s["system"]["median"], 2),
                     number(s["rate"]["median"]) + percent(s["rate"]["spread"]), " / ".join(number(s[k]["median"], 0) for k in ("p50", "p99", "p999")),
                     " / ".join(number(s[k]["median"], 0) for k in ("fixed_p50", "fixed_p99", "fixed_p999")) if s["fixed_p50"]["median"] else "–",
                     number((s["memory"]["median"] or 0) / 2**20), f"{100 * (s['stand']['median'] or 0):.0f}%", f"{s['cpu']['rounds']}" + (f" ({bad} discarded)" if bad else "")])
    text = [f"### {title}", "", table(["", "CPU µs/request", "user", "system", "requests/s", "p50 / p99 / p99.9 µs", "at 70 %: p50 / p99 / p99.9 µs", "MiB", "stand busy", "rounds"], rows)]
    first = labels(cells)[0]
    ratios = ratio_of(first, cells, "cpu")
    if ratios:
        text += ["", f"CPU per request, {first} against: " + ", ".join(f"{other} **{r:.2f}**{percent(s)}" for other, (r, s) in ratios.items()) + "."]
    text += bar_line(result, cells)
    errors = {}
    for c in cells:
        for what, count in c["errors"].items():
            errors[(c["label"], what)] = errors.get((c["label"], what), 0) + count
    if errors:
        text += ["", "Errors (their cells are discarded): " + "; ".join(f"{label}: {what} {count:,}" for (label, what), count in errors.items()) + "."]
    return "\n".join(text)


def idle_section(title, result):
    cells = result["cells"]
    rows = []
    for label in labels(cells):
        s = {k: summarise(cells, label, label, k) for k in ("per_client", "before", "after")}
        rows.append([label, number(s["per_client"]["median"], 0) + percent(s["per_client"]["spread"]), number((s["before"]["median"] or 0) / 2**20), number((s["after"]["median"] or 0) / 2**20),
                     str(s["per_client"]["rounds"])])
    return "\n".join([f"### {title}", "", table(["", "bytes per client", "MiB before", "MiB with them", "rounds"], rows)])


def start_section(title, result):
    cells = result["cells"]
    rows = []
    for label in labels(cells):
        s = {k: summarise(cells, label, label, k) for k in ("start", "memory")}
        rows.append([label, number(s["start"]["median"], 0) + percent(s["start"]["spread"]), number((s["memory"]["median"] or 0) / 2**20), str(s["start"]["rounds"])])
    return "\n".join([f"### {title}", "", table(["", "ms until the first answer", "MiB then", "rounds"], rows)])


SECTIONS = {"drive": drive_section, "idle": idle_section, "streams": idle_section, "start": start_section}


def markdown(run):
    text = ["# Results", "", f"{run['date']}, commit {run['commit']}, {run['machine']}. " + ", ".join(f"{k} {v}" for k, v in run["versions"].items()) + ".", "",
            f"{run['rounds']} interleaved rounds, {run['seconds']} s a cell after {run['warmup']} s of warm-up. Gateway on core 0, upstream and load generator on core 1. "
            "Medians, with half the interquartile range as spread; ratios are medians of ratios within a round. *Stand busy* is the share of core 1 that upstream and "
            "generator used: near 100 %, requests/s is the stand's limit and not the gateway's. How it is measured: `bench/README.md`."]
    for result in run["scenarios"]:
        text += ["", SECTIONS[result["kind"]](result["title"], result)]
        if result["left_out"]:
            text += ["", "Left out: " + ", ".join(f"{n} ({why})" for n, why in result["left_out"].items()) + "."]
        if result.get("start_seconds"):
            text += ["", "Start until ready: " + ", ".join(f"{n} {s:.2f} s" for n, s in result["start_seconds"].items()) + "."]
    return "\n".join(text) + "\n"
