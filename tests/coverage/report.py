#!/usr/bin/env python3
"""Prints what the tests reach, and fails when that is too little.

    report.py COVERAGE_JSON REASONS

COVERAGE_JSON is what `gcovr --json` writes, run from the root of the tree. Where nothing may be
lost, in the log, the manifest and recovery, each branch is taken by some test or has a reason
in the file REASONS, which tells its own format.
"""

import collections
import json
import re
import sys

FLOORS = ["base", "env", "memtable", "sstable", "vlog", "manifest", "compaction", "txn", "db"]
LINES_MIN = 95.0  # per cent of the whole, as the next
BRANCHES_MIN = 90.0
STRICT = ("src/vlog/", "src/manifest/", "src/db/recovery.c")

# A line of the source, as it is known however the file grows around it.
Place = collections.namedtuple("Place", "file function text")
# The branches of such lines, most often one, that no test takes.
Missed = collections.namedtuple("Missed", "lines count total")
# What the reasons say: `at` is where; of a branch that `varies`, some runs take it.
Excuse = collections.namedtuple("Excuse", "at count varies")


class Sum:
    """Lines and branches of some files, and how many are reached."""

    def __init__(self, files):
        lines = [line for file in files for line in file["lines"] if not line["gcovr/noncode"]]
        branches = [branch for line in lines for branch in line["branches"]]
        self.lines = self.percent(lines)
        self.branches = self.percent(branches)

    @staticmethod
    def percent(items):
        reached = sum(item["count"] > 0 for item in items)
        return 100.0 * reached / len(items) if items else 100.0


def is_strict(name):
    return name.startswith(STRICT)


def print_floors(files):
    """Prints the sums, and returns that of the whole."""
    print(f"{'floor':<12} {'lines':>8} {'branches':>10}")
    for floor in FLOORS + ["all"]:
        prefix = "src/" if floor == "all" else f"src/{floor}/"
        total = Sum([file for file in files if file["file"].startswith(prefix)])
        print(f"{floor:<12} {total.lines:>7.1f}% {total.branches:>9.1f}%")
    return total


def function_at(file, number):
    begun = [f for f in file["functions"] if f["lineno"] <= number]
    return max(begun, key=lambda f: f["lineno"])["name"] if begun else "-"


def find_missed(files):
    """The branches not taken where each needs a reason: Place -> Missed."""
    missed = {}
    for file in files:
        if not is_strict(file["file"]):
            continue
        with open(file["file"], encoding="utf-8") as source:
            text = source.read().split("\n")
        for line in file["lines"]:
            count = sum(branch["count"] == 0 for branch in line["branches"])
            if count == 0:
                continue
            number = line["line_number"]
            place = Place(file["file"], function_at(file, number), text[number - 1].strip())
            before = missed.get(place, Missed([], 0, 0))
            missed[place] = Missed(
                before.lines + [number], before.count + count, before.total + len(line["branches"])
            )
    return missed


def read_reasons(name):
    """Place -> Excuse. Ends the program where a line is not understood."""
    excuses = {}
    has_reason = False
    with open(name, encoding="utf-8") as reasons:
        for number, line in enumerate(reasons, 1):
            line = line.rstrip()
            if line == "" or line.startswith("#"):
                has_reason = False
            elif not line.startswith(" "):
                has_reason = True
            else:
                match = re.fullmatch(r" +(\d+)(\??) (\S+) (\w+): (.+)", line)
                if match is None or not has_reason:
                    sys.exit(f"{name}:{number}: is no branch below its reason")
                place = Place(match[3], match[4], match[5])
                if place in excuses:
                    sys.exit(f"{name}:{number}: is there a second time")
                excuses[place] = Excuse(f"{name}:{number}", int(match[1]), match[2] == "?")
    return excuses


def print_unexcused(missed, excuses):
    """Prints what is missed for no reason; returns how many places that are."""
    found = 0
    for place, m in sorted(missed.items(), key=lambda item: (item[0].file, item[1].lines)):
        if place in excuses and excuses[place].count >= m.count:
            continue
        lines = ",".join(str(line) for line in m.lines)
        known = excuses[place].count if place in excuses else 0
        print(
            f"{place.file}:{lines}: {place.function}(): {m.count} of {m.total} branches are "
            f"not taken, with a reason for {known}: {place.text}"
        )
        found += 1
    return found


def print_stale(missed, excuses):
    """Prints the reasons that excuse nothing any more; returns how many these are."""
    found = 0
    for place, excuse in excuses.items():
        count = missed[place].count if place in missed else 0
        if count >= excuse.count or excuse.varies:
            continue
        print(
            f"{excuse.at}: {place.file}: {place.function}(): {count} branches are not taken "
            f"now, the reason stands for {excuse.count}: {place.text}"
        )
        found += 1
    return found


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as coverage:
        files = json.load(coverage)["files"]
    total = print_floors(files)
    missed = find_missed(files)
    excuses = read_reasons(sys.argv[2])
    failures = print_unexcused(missed, excuses) + print_stale(missed, excuses)
    if total.lines < LINES_MIN or total.branches < BRANCHES_MIN:
        print(f"too little: {LINES_MIN} % of lines and {BRANCHES_MIN} % of branches are asked for")
        failures += 1
    print(
        f"log, manifest, recovery: {sum(m.count for m in missed.values())} branches not taken, "
        f"{len(excuses)} lines with a reason; {failures} failures"
    )
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
