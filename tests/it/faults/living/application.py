"""An application that nobody told of the migration: reads and writes until the file `stop` is there.

Arguments: database, log of committed ids, stop file. Prints one JSON document when it ends.
"""
import json, os, sqlite3, sys, threading, time

db, log, stop = sys.argv[1:4]
BASE, AMOUNT = 400, {1: 1, 2: 10}
told = {"reads": {"1": 0, "2": 0}, "busy": 0, "stall": 0.0, "errors": [], "mixtures": []}
lock = threading.Lock()


def living(work):
    """Does `work` on one connection, kept open, again and again; a busy database is tried again, and timed."""
    conn = sqlite3.connect(db, timeout=0.05, isolation_level=None)
    while not os.path.exists(stop):
        began, busy = time.monotonic(), 0
        while True:
            try:
                work(conn)
                break
            except sqlite3.OperationalError as e:
                if conn.in_transaction:
                    conn.execute("ROLLBACK")
                if "locked" not in str(e) and "busy" not in str(e):
                    raise
                busy += 1
        with lock:
            told["busy"] += busy
            if busy:
                told["stall"] = max(told["stall"], time.monotonic() - began)
        time.sleep(0.002)
    conn.close()


def read(conn):
    """All of both tables, in one transaction: of one version, and in balance."""
    conn.execute("BEGIN")
    version = conn.execute("SELECT n FROM version").fetchone()[0]
    columns = [row[1] for row in conn.execute("PRAGMA table_info(debit)")]
    sums = [
        conn.execute(f"SELECT count(*), sum(amount), sum(length(pad)) FROM {t} WHERE id <= {BASE}").fetchone()
        for t in ("debit", "credit")
    ]
    news = [
        conn.execute(f"SELECT count(*), sum(id), sum(amount) FROM {t} WHERE id > {BASE}").fetchone()
        for t in ("debit", "credit")
    ]
    conn.execute("COMMIT")
    whole = (BASE, BASE * AMOUNT[version], BASE * 1500)
    ok = sums == [whole, whole] and news[0] == news[1] and ("unit" in columns) == (version == 2)
    with lock:
        told["reads"][str(version)] += 1
        if not ok:
            told["mixtures"].append(repr((version, columns, sums, news)))


def main():
    ids = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    at = [max(BASE, int(os.environ.get("FIRST", BASE)))]

    def write(conn):
        conn.execute("BEGIN IMMEDIATE")
        for table in ("debit", "credit"):
            conn.execute(f"INSERT INTO {table} (id, amount, pad) VALUES (?, 5, 'new')", (at[0] + 1,))
        conn.execute("COMMIT")
        at[0] += 1
        os.write(ids, f"{at[0]}\n".encode())

    def guarded(work):
        try:
            living(work)
        except Exception as e:
            told["errors"].append(f"{work.__name__}: {type(e).__name__}: {e}")

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (read, write)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    os.fsync(ids)
    print(json.dumps(told))


main()
