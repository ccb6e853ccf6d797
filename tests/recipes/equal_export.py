#!/usr/bin/env python3
"""Compares an export of NSE ticks with the files it was imported from, row by row.

usage: equal_export.py EXPORT.csv FILE.csv.gz...

Each file's rows, stable by time, must be the export's rows of the symbol that the file is named after,
symbols in byte order. Python's own gzip, csv and float; nothing of Chronolith's. Exits 1 at the first difference.
"""
import csv
import datetime
import gzip
import os
import sys


def iso(seconds):
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def rows_of(path):
    with gzip.open(path, "rt", newline="") as file:
        rows = [(int(row["ts_s"]), row["ltp"], row["volume"]) for row in csv.DictReader(file)]
    rows.sort(key=lambda row: row[0])
    return rows


def main(export, files):
    by_symbol = {os.path.basename(path).removesuffix(".csv.gz"): path for path in files}
    count = 0
    with open(export, newline="") as file:
        found = csv.reader(file)
        header = next(found)
        assert header == ["time", "symbol", "ltp", "volume"], header
        for symbol in sorted(by_symbol, key=str.encode):
            for seconds, price, volume in rows_of(by_symbol[symbol]):
                row = next(found, None)
                expected = (iso(seconds), symbol, float(price), int(volume))
                if row is None or (row[0], row[1], float(row[2]), int(row[3])) != expected:
                    sys.exit(f"row {count + 1}: expected {expected}, found {row}")
                count += 1
        extra = next(found, None)
        if extra is not None:
            sys.exit(f"behind row {count}: {extra}")
    print(f"{count} rows are equal")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
