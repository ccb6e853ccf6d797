#!/usr/bin/env python3
"""Compares the answers of `chronolith sql` with DuckDB's on the same real files.

usage: duckdb_slt.py CHRONOLITH DATASETS [DATA] [--slt FILE]

CHRONOLITH is the program, DATASETS the folder with nse_ticks and binance, DATA where the database is made (a new folder by default).
Needs `pip install duckdb` in an environment of its own. --slt writes DuckDB's answers as a script in sqllogictest's form.

Where the two spell a thing differently, a query has two texts. Floats may differ by a relative 1e-9, as sums are taken in another order;
everything else must be the same, row by row.
"""
import argparse
import csv
import datetime
import decimal
import io
import math
import pathlib
import subprocess
import sys
import tempfile

SYMBOLS = ["INFY", "SBIN", "ITC", "RELIANCE"]
MARKETS = ["spot_btcusdt", "usdm_btcusdt", "spot_ethusdt"]
DAY = "20240808"

# Both engines run the same text, but for the pairs.
TICKS_LAST = ("last(ltp, time)", "last(ltp ORDER BY time, rn)")
TICKS_FIRST = ("first(ltp, time)", "first(ltp ORDER BY time, rn)")


def both(text, **pairs):
    """The text for each engine: {name} stands for what each of them says."""
    ours = text.format(**{name: pair[0] for name, pair in pairs.items()})
    theirs = text.format(**{name: pair[1] for name, pair in pairs.items()})
    return ours, theirs


def queries():
    ohlcv = (
        "SELECT time_bucket(INTERVAL '1 minute', time) AS b, {first} AS o, max(ltp) AS h, min(ltp) AS l, {last} AS c, "
        "max(volume) - min(volume) AS v, count(*) AS n FROM ticks WHERE symbol = '{symbol}' AND time >= '{day}' AND time < '{end}' "
        "GROUP BY b ORDER BY b"
    )
    for symbol in SYMBOLS:
        for day in (3, 6):
            start = datetime.date(2021, 5, day)
            end = start + datetime.timedelta(days=1)
            text = ohlcv.replace("{symbol}", symbol).replace("{day}", str(start)).replace("{end}", str(end))
            yield both(text, first=TICKS_FIRST, last=TICKS_LAST)
    for width in ("1 hour", "1 day", "7 days", "15 minutes"):
        yield both(
            f"SELECT symbol, time_bucket(INTERVAL '{width}', time) AS b, {{first}}, max(ltp), min(ltp), {{last}}, count(*), avg(ltp) "
            "FROM ticks WHERE time > '2021-01-01' GROUP BY symbol, b ORDER BY symbol, b",
            first=TICKS_FIRST,
            last=TICKS_LAST,
        )
    for unit in ("day", "week", "month"):
        yield f"SELECT symbol, date_trunc('{unit}', time) AS d, sum(ltp), min(volume), max(volume) FROM ticks GROUP BY symbol, d ORDER BY symbol, d"
    yield "SELECT count(*) FROM ticks"
    yield "SELECT symbol, count(*), count(DISTINCT ltp), min(time), max(time) FROM ticks GROUP BY symbol ORDER BY symbol"
    yield "SELECT count(*) FROM ticks WHERE symbol IN ('INFY', 'SBIN') AND ltp > 500"
    yield "SELECT count(*) FROM ticks WHERE symbol NOT IN ('INFY', 'SBIN') AND ltp BETWEEN 200 AND 210"
    yield "SELECT count(*) FROM ticks WHERE symbol <> 'ITC' AND volume = 0"
    yield "SELECT count(*) FROM ticks WHERE symbol = 'nothing'"
    yield "SELECT count(*), sum(ltp) FROM ticks WHERE symbol LIKE 'I%' OR ltp < 300"
    yield "SELECT count(*) FROM ticks WHERE symbol IS NULL"
    yield "SELECT symbol, max(ltp) FILTER (WHERE volume > 1000000), count(*) FILTER (WHERE ltp > 1000) FROM ticks GROUP BY symbol ORDER BY 1"
    yield "SELECT symbol, count(*) AS n FROM ticks GROUP BY ALL HAVING count(*) > 800000 ORDER BY symbol"
    yield "SELECT extract(hour FROM time) AS h, count(*), avg(ltp) FROM ticks WHERE symbol = 'SBIN' GROUP BY h ORDER BY h"
    yield "SELECT extract(dow FROM time) AS d, symbol, count(*) FROM ticks GROUP BY d, symbol ORDER BY d, symbol"
    yield "SELECT symbol, stddev(ltp), var_pop(ltp) FROM ticks WHERE time > '2021-05-01' GROUP BY symbol ORDER BY symbol"
    yield "SELECT symbol, median(ltp) FROM ticks WHERE time > '2021-06-01' GROUP BY symbol ORDER BY symbol"
    yield "SELECT symbol, corr(ltp, volume) FROM ticks WHERE time >= '2021-05-03' AND time < '2021-05-04' GROUP BY symbol ORDER BY symbol"
    yield "SELECT DISTINCT symbol FROM ticks ORDER BY symbol"
    yield "SELECT symbol, ltp FROM ticks QUALIFY row_number() OVER (PARTITION BY symbol ORDER BY ltp DESC, volume DESC) = 1 ORDER BY symbol"
    yield "SELECT symbol, ltp, rank() OVER (ORDER BY ltp DESC) AS r FROM (SELECT symbol, max(ltp) AS ltp FROM ticks GROUP BY symbol) AS m ORDER BY r"
    yield "SELECT * EXCLUDE (volume) FROM (SELECT symbol, max(ltp) AS ltp, max(volume) AS volume FROM ticks GROUP BY symbol) AS m ORDER BY symbol"
    yield "SELECT b, c, c - lag(c) OVER (ORDER BY b) AS d FROM (SELECT date_trunc('day', time) AS b, max(ltp) AS c FROM ticks WHERE symbol = 'ITC' GROUP BY 1) AS m ORDER BY b"
    yield "SELECT b, avg(c) OVER (ORDER BY b ROWS BETWEEN 4 PRECEDING AND CURRENT ROW) FROM (SELECT date_trunc('day', time) AS b, max(ltp) AS c FROM ticks WHERE symbol = 'ITC' GROUP BY 1) AS m ORDER BY b"
    yield "SELECT b, sum(n) OVER (ORDER BY b) FROM (SELECT date_trunc('month', time) AS b, count(*) AS n FROM ticks GROUP BY 1) AS m ORDER BY b"
    yield "SELECT b, symbol, first_value(h) OVER (PARTITION BY symbol ORDER BY b), last_value(h) OVER (PARTITION BY symbol ORDER BY b) FROM (SELECT date_trunc('month', time) AS b, symbol, max(ltp) AS h FROM ticks GROUP BY 1, 2) AS m ORDER BY symbol, b"
    yield "SELECT ntile(3) OVER (ORDER BY m), symbol FROM (SELECT symbol, max(ltp) AS m FROM ticks GROUP BY symbol) AS t ORDER BY m"
    yield "SELECT a.b, a.h, i.h FROM (SELECT date_trunc('day', time) AS b, max(ltp) AS h FROM ticks WHERE symbol = 'INFY' GROUP BY 1) AS a JOIN (SELECT date_trunc('day', time) AS b, max(ltp) AS h FROM ticks WHERE symbol = 'ITC' GROUP BY 1) AS i ON a.b = i.b ORDER BY a.b"
    yield "SELECT a.b, i.h FROM (SELECT date_trunc('day', time) AS b, max(ltp) AS h FROM ticks WHERE symbol = 'INFY' GROUP BY 1) AS a LEFT JOIN (SELECT date_trunc('day', time) AS b, max(ltp) AS h FROM ticks WHERE symbol = 'ITC' AND time > '2021-05-15' GROUP BY 1) AS i USING (b) ORDER BY a.b"
    yield "SELECT count(*) FROM ticks AS a JOIN ticks AS b ON a.time = b.time AND a.symbol = 'INFY' AND b.symbol = 'ITC' WHERE a.time >= '2021-05-03' AND a.time < '2021-05-03 05:00:00'"
    yield "WITH d AS (SELECT symbol, date_trunc('day', time) AS b, max(ltp) - min(ltp) AS s FROM ticks WHERE time > '2021-01-01' GROUP BY 1, 2) SELECT symbol, max(s), min(s), avg(s) FROM d GROUP BY symbol ORDER BY symbol"
    yield "SELECT symbol, count(*) FROM ticks WHERE ltp > (SELECT avg(ltp) FROM ticks) GROUP BY symbol ORDER BY symbol"
    yield "SELECT symbol FROM ticks AS o WHERE ltp = (SELECT max(ltp) FROM ticks) GROUP BY symbol ORDER BY symbol"
    yield "SELECT symbol FROM (SELECT DISTINCT symbol FROM ticks) AS s WHERE EXISTS (SELECT 1 FROM ticks AS t WHERE t.symbol = s.symbol AND t.ltp > 1500) ORDER BY symbol"
    yield "SELECT symbol, max(ltp) FROM ticks WHERE symbol = 'ITC' GROUP BY symbol UNION ALL SELECT 'all', max(ltp) FROM ticks ORDER BY 1"
    yield "SELECT symbol FROM ticks WHERE ltp > 1000 INTERSECT SELECT symbol FROM ticks WHERE volume = 0 ORDER BY 1"
    yield "SELECT symbol FROM ticks EXCEPT SELECT symbol FROM ticks WHERE ltp > 1000 ORDER BY 1"
    yield "SELECT CASE WHEN ltp < 500 THEN 'low' WHEN ltp < 1500 THEN 'mid' ELSE 'high' END AS c, count(*) FROM ticks GROUP BY c ORDER BY c"
    yield "SELECT symbol, coalesce(max(ltp) FILTER (WHERE ltp > 5000), -1) FROM ticks GROUP BY symbol ORDER BY symbol"
    yield "SELECT floor(ltp / 100) AS g, count(*) FROM ticks WHERE symbol = 'RELIANCE' GROUP BY g ORDER BY g"
    yield "SELECT symbol, date_trunc('month', time) AS m, count(*) FROM ticks GROUP BY ROLLUP (symbol, m) ORDER BY symbol NULLS LAST, m NULLS LAST"
    yield "SELECT symbol, volume FROM ticks ORDER BY volume DESC, symbol LIMIT 20"
    yield "SELECT ltp, count(*) AS n FROM ticks WHERE symbol = 'SBIN' GROUP BY ltp ORDER BY n DESC, ltp LIMIT 25"
    yield "SELECT time, max(ltp) FROM ticks WHERE symbol = 'SBIN' AND time >= '2021-05-03 04:00:00' AND time < '2021-05-03 04:05:00' GROUP BY time ORDER BY time"
    # Trades and quotes: names that differ in case alone.
    names = {"T": ('"T"', "exchange_ms"), "t": ('"t"', "trade_id"), "a": ('"a"', "ask"), "A": ('"A"', "ask_size"), "b": ('"b"', "bid"), "B": ('"B"', "bid_size")}
    yield both("SELECT market, count(*), min({t}), max({t}), min({T}), max({T}) FROM trades GROUP BY market ORDER BY market", **names)
    yield both("SELECT market, sum(p * q), sum(q), sum(p * q) / sum(q) FROM trades GROUP BY market ORDER BY market", **names)
    yield both("SELECT market, m, count(*), max(q) FROM trades GROUP BY market, m ORDER BY market, m", **names)
    yield both("SELECT market, time_bucket(INTERVAL '1 hour', time) AS h, count(*), sum(q), min(p), max(p) FROM trades GROUP BY 1, 2 ORDER BY 1, 2", **names)
    yield both("SELECT {t}, {T}, p, q FROM trades WHERE market = 'spot_btcusdt' AND q > 5 ORDER BY {t}", **names)
    yield both("SELECT market, count(*) FROM trades WHERE {T} % 1000 = 0 GROUP BY market ORDER BY market", **names)
    yield both("SELECT market, max({t}) - min({t}) + 1 - count(*) AS missing FROM trades GROUP BY market ORDER BY market", **names)
    yield both("SELECT market, count(*), avg({a} - {b}), max({A}), max({B}) FROM book GROUP BY market ORDER BY market", **names)
    yield both("SELECT market, count(*) FROM book WHERE {a} <= {b} GROUP BY market ORDER BY market", **names)
    yield both("SELECT market, time_bucket(INTERVAL '1 hour', time) AS h, avg(({a} + {b}) / 2), min({a} - {b}) FROM book GROUP BY 1, 2 ORDER BY 1, 2", **names)
    yield both("SELECT market, sum({b} * {B}) / sum({B}), sum({a} * {A}) / sum({A}) FROM book GROUP BY market ORDER BY market", **names)
    yield both("SELECT tr.h, tr.n, bk.n FROM (SELECT time_bucket(INTERVAL '1 hour', time) AS h, count(*) AS n FROM trades WHERE market = 'spot_btcusdt' GROUP BY 1) AS tr JOIN (SELECT time_bucket(INTERVAL '1 hour', time) AS h, count(*) AS n FROM book WHERE market = 'spot_btcusdt' GROUP BY 1) AS bk USING (h) ORDER BY 1", **names)


def run(program, *arguments):
    done = subprocess.run([program, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return done.stdout


def load_ours(program, data, datasets):
    for symbol in SYMBOLS:
        run(program, "import", "--data", data, "--table", "ticks", "--time", "ts_s:s", "--types", "ltp=f64,volume=i64",
            "--tag", f"symbol={symbol}", str(datasets / "nse_ticks" / f"{symbol}.csv.gz"))
    for market in MARKETS:
        for kind, types in (("trade", "T=i64,t=i64,p=f64,q=f64,m=i64"), ("book", "T=i64,u=i64,b=f64,B=f64,a=f64,A=f64")):
            table = "trades" if kind == "trade" else kind
            run(program, "import", "--data", data, "--table", table, "--time", "local_ns:ns", "--types", types,
                "--tag", f"market={market}", str(datasets / "binance" / f"{market}_{DAY}_{kind}.csv.gz"))


def load_theirs(datasets):
    import duckdb

    db = duckdb.connect()
    db.execute("SET threads = 2; SET preserve_insertion_order = true; SET TimeZone = 'UTC'")
    db.execute("CREATE TABLE ticks (time TIMESTAMP, symbol TEXT, ltp DOUBLE, volume BIGINT, rn BIGINT)")
    for symbol in SYMBOLS:
        path = datasets / "nse_ticks" / f"{symbol}.csv.gz"
        columns = "{'ts_s': 'BIGINT', 'ltp': 'DOUBLE', 'volume': 'BIGINT'}"
        db.execute(f"INSERT INTO ticks SELECT make_timestamp(ts_s * 1000000), '{symbol}', ltp, volume, row_number() OVER () "
                   f"FROM read_csv('{path}', header = true, columns = {columns})")
    db.execute("CREATE TABLE trades (time TIMESTAMP_NS, market TEXT, exchange_ms BIGINT, trade_id BIGINT, p DOUBLE, q DOUBLE, m BIGINT)")
    db.execute("CREATE TABLE book (time TIMESTAMP_NS, market TEXT, exchange_ms BIGINT, u BIGINT, bid DOUBLE, bid_size DOUBLE, ask DOUBLE, ask_size DOUBLE)")
    for market in MARKETS:
        for kind, names in (("trade", ["BIGINT"] * 3 + ["DOUBLE"] * 2 + ["BIGINT"]), ("book", ["BIGINT"] * 3 + ["DOUBLE"] * 4)):
            path = datasets / "binance" / f"{market}_{DAY}_{kind}.csv.gz"
            columns = "{" + ", ".join(f"'c{at}': '{name}'" for at, name in enumerate(names)) + "}"
            rest = ", ".join(f"c{at}" for at in range(1, len(names)))
            table = "trades" if kind == "trade" else kind
            db.execute(f"INSERT INTO {table} SELECT make_timestamp_ns(c0), '{market}', {rest} "
                       f"FROM read_csv('{path}', header = false, skip = 1, columns = {columns})")
    # time_bucket takes microseconds.
    for table in ("trades", "book"):
        db.execute(f"ALTER TABLE {table} ALTER time TYPE TIMESTAMP")
    return db


def plain(value):
    """A value of DuckDB's as text, None for NULL."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    if isinstance(value, datetime.date):
        return f"{value.isoformat()}T00:00:00"
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    return str(value)


def moment(text):
    """A time without its zone and the zeros at its end."""
    text = text.removesuffix("Z")
    return text.rstrip("0").rstrip(".") if "T" in text and "." in text else text


def same(ours, theirs):
    if theirs is None or ours == "":
        return ours in ("", None) and theirs in ("", None, "nan")
    if ours == theirs or moment(ours) == moment(theirs):
        return True
    try:
        a, b = float(ours), float(theirs)
    except ValueError:
        return False
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(a) and math.isnan(b))


def compare(program, data, db, ours, theirs):
    expected = [[plain(cell) for cell in row] for row in db.execute(theirs).fetchall()]
    text = run(program, "sql", "--data", data, "--format", "csv", ours)
    found = list(csv.reader(io.StringIO(text)))[1:]
    if len(found) != len(expected):
        return expected, f"{len(expected)} rows were expected, {len(found)} found"
    for row, (mine, other) in enumerate(zip(found, expected)):
        if len(mine) != len(other) or not all(map(same, mine, other)):
            return expected, f"row {row}: expected {other}, found {mine}"
    return expected, None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("datasets", type=pathlib.Path)
    parser.add_argument("data", nargs="?")
    parser.add_argument("--slt", type=pathlib.Path)
    arguments = parser.parse_args()
    data = arguments.data or tempfile.mkdtemp(prefix="duckdb_slt_")
    load_ours(arguments.program, data, arguments.datasets)
    db = load_theirs(arguments.datasets)
    wrong, total, script = 0, 0, []
    for query in queries():
        ours, theirs = query if isinstance(query, tuple) else (query, query)
        total += 1
        try:
            expected, difference = compare(arguments.program, data, db, ours, theirs)
        except Exception as error:
            expected, difference = [], f"{type(error).__name__}: {error}"
        script.append("\n".join(["query", ours, "----", *(" ".join("NULL" if cell is None else cell for cell in row) for row in expected), ""]))
        if difference:
            wrong += 1
            print(f"DIFFERS: {ours}\n  {difference}", file=sys.stderr)
    if arguments.slt:
        arguments.slt.write_text("\n".join(script))
    print(f"{total - wrong} of {total} queries agree")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
