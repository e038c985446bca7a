#!/usr/bin/env python3
"""Makes the table from the figures: `table.py figures.json` prints it again."""

import json
import statistics
import sys

BASE = "yesterfs"  # Whose figures the ratios are to.

# Key, what the row says, unit. Of "rate" more is better; of everything else, less.
ROWS = [
    ("dump-first", "dump, first ingest", "seconds"),
    ("dump-first-stored", "dump, first ingest: stored", "bytes"),
    ("dump-again", "the same again", "seconds"),
    ("dump-again-stored", "the same again: stored", "bytes"),
    ("dump-1%", "1 % of rows updated", "seconds"),
    ("dump-1%-stored", "1 % of rows updated: stored", "bytes"),
    ("dump-0.1%", "0.1 % of rows updated", "seconds"),
    ("dump-0.1%-stored", "0.1 % of rows updated: stored", "bytes"),
    ("restore-dump", "restore of the dump, cold", "seconds"),
    ("tree-first", "tree, first ingest", "seconds"),
    ("tree-first-stored", "tree, first ingest: stored", "bytes"),
    ("tree-again", "tree, again", "seconds"),
    ("restore-tree", "restore of the tree, cold", "seconds"),
    ("mount-cold", "mount: sequential read, cold", "rate"),
    ("mount-again", "mount: the same again", "rate"),
    ("mount-random", "mount: random 4 KiB, cold, p50", "seconds"),
    ("mount-ls", "mount: `ls -lR` of the tree, cold", "seconds"),
    ("mount-tar", "mount: `tar` of the small files, cold", "seconds"),
    ("peak-ingest", "peak memory, ingest", "memory"),
    ("peak-mount", "peak memory, mount", "memory"),
    ("list", "list of an empty repository", "seconds"),
]
PEAKS = ["peak-ingest", "peak-mount"]


def render(results):
    tools = results["tools"]
    parts = [heading(results), *grid(tools), "", *notes(results)]
    return "\n".join(parts)


def heading(results):
    machine = results["machine"]
    size = "small data (--quick), " if machine["quick"] else ""
    runs = "one run" if machine.get("runs", 1) == 1 else f"medians of {machine['runs']} runs in turns"
    return (
        f"{machine['day']}, {machine['cores']} cores ({machine['processor']}), {machine['memory bytes'] / 1e9:.0f} GB, "
        f"Linux {machine['kernel']}, {machine['file system']}, load {machine['load at the start']:.1f} at the start; "
        f"{size}dump of {machine['dump bytes'] / 1e6:.0f} MB; {runs}; "
        f"cold: {machine['cold']}.\n\n"
        f"In brackets: how many times {BASE}'s figure it is, for MB/s the other way round: above 1, {BASE} is better. "
        f"Bold: the best of the row. The last column names the tools that are better than {BASE}.\n"
    )


def grid(tools):
    yield "| | " + " | ".join(tools) + " | better |"
    yield "|---|" + "---|" * len(tools) + "---|"
    for key, label, unit in ROWS:
        values = row_values(tools, key)
        best = best_of(values, unit)
        cells = [cell(name, values, unit, best) for name in tools]
        yield f"| {label} | " + " | ".join(cells) + f" | {', '.join(winners(values, unit))} |"


def row_values(tools, key):
    """Of each tool that has the figure."""
    middle = max if key in PEAKS else statistics.median
    return {name: middle(tool["figures"][key]) for name, tool in tools.items() if tool["figures"].get(key)}


def best_of(values, unit):
    if not values:
        return None
    return max(values.values()) if unit == "rate" else min(values.values())


def winners(values, unit):
    """The tools that are better than yesterfs, which it does not compete with in another setting."""
    for name, value in values.items():
        if BASE not in values or name.startswith(BASE) or shown(value, unit) == shown(values[BASE], unit):
            continue
        if (value > values[BASE]) == (unit == "rate"):
            yield name


def cell(name, values, unit, best):
    if name not in values:
        return "-"
    text = shown(values[name], unit)
    if text == shown(best, unit):
        text = f"**{text}**"
    if name != BASE and (times := ratio(values, name, unit)):
        text += f" ({times})"
    return text


def ratio(values, name, unit):
    one, base = values[name], values.get(BASE)
    if not one or not base:
        return None
    times = base / one if unit == "rate" else one / base
    return f"{times:.0f}x" if times >= 9.95 else f"{times:.1f}x" if times >= 0.095 else f"{times:.2g}x"


def shown(value, unit):
    if unit == "rate":
        return f"{value / 1e6:.0f} MB/s"
    if unit == "memory":
        return f"{value / (1 << 20):.0f} MiB"
    if unit == "bytes":
        digits = 1 if value >= 1e7 else 2
        return f"{value / 1e6:.{digits}f} MB" if value >= 1e5 else f"{value / 1e3:.1f} kB"
    if value < 1e-3:
        return f"{value * 1e6:.0f} us"
    if value < 1e-1:
        return f"{value * 1e3:.1f} ms"
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"


def notes(results):
    for name, tool in results["tools"].items():
        yield f"**{name}**: {tool['version']}; {tool['settings']}."
        yield from (f"- failed: {step}: {how}" for step, how in tool["failures"].items())
        yield "```"
        yield from dict.fromkeys(tool["commands"].values())
        yield "```"
        yield ""
    for name, why in results["missing"].items():
        yield f"**{name}**: left out: {why}."


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as figures:
        print(render(json.load(figures)))
