#!/usr/bin/env python3
"""Compares one-minute bars with a computation of its own from the file of one symbol.

usage: equal_bars.py BARS.csv SYMBOL.csv.gz

BARS.csv: `chronolith bars --every 1m --price ltp --volume volume --volume-kind cumulative --where symbol=... --format csv`.
"""
import csv
import datetime
import gzip
import sys


def main(bars, path):
    with gzip.open(path, "rt", newline="") as file:
        rows = [(int(r["ts_s"]), float(r["ltp"]), int(r["volume"])) for r in csv.DictReader(file)]
    rows.sort(key=lambda row: row[0])
    expected, before = {}, None
    for seconds, price, volume in rows:
        rise = volume if before is None or volume < before else volume - before
        before = volume
        bar = expected.setdefault(seconds // 60 * 60, [price, price, price, price, 0, 0])
        bar[1], bar[2], bar[3] = max(bar[1], price), min(bar[2], price), price
        bar[4], bar[5] = bar[4] + rise, bar[5] + 1
    with open(bars, newline="") as file:
        found = list(csv.DictReader(file))
    if len(found) != len(expected):
        sys.exit(f"expected {len(expected)} bars, found {len(found)}")
    for row, (start, bar) in zip(found, sorted(expected.items())):
        moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=start)
        names = ["open", "high", "low", "close"]
        values = [float(row[name]) for name in names] + [int(row["volume"])]
        if row["time"] != moment.strftime("%Y-%m-%dT%H:%M:%SZ") or values != bar[:5]:
            sys.exit(f"expected {moment} {bar}, found {row}")
    print(f"{len(found)} bars are equal")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
