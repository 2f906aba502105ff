"""The programs of a brain at work: they read and write every tier until the file `stop` is there, and time themselves.

Arguments: stop file, databases. Prints one JSON document when it ends.
"""
import json, os, sqlite3, sys, threading, time

stop, *databases = sys.argv[1:]
told = {"reads": 0, "longest_read": 0.0, "failed_reads": [], "writes": {}, "refused": 0, "stall": 0.0, "errors": []}
lock = threading.Lock()


def reads(path):
    conn = sqlite3.connect(path, timeout=5, isolation_level=None)
    while not os.path.exists(stop):
        began = time.monotonic()
        try:
            conn.execute("SELECT count(*), max(id) FROM app_log").fetchone()
        except sqlite3.Error as e:
            with lock:
                told["failed_reads"].append(repr(e))
        with lock:
            told["reads"] += 1
            told["longest_read"] = max(told["longest_read"], time.monotonic() - began)
        time.sleep(0.002)


def writes(path):
    conn = sqlite3.connect(path, timeout=5, isolation_level=None)
    done = 0
    while not os.path.exists(stop):
        began, refused = time.monotonic(), 0
        while not os.path.exists(stop):
            try:
                conn.execute("INSERT INTO app_log (what) VALUES ('at work')")
                done += 1
                break
            except sqlite3.Error as e:
                refused += 1
                if "frozen by the migration" not in str(e) and "locked" not in str(e):
                    with lock:
                        told["errors"].append(repr(e))
                    return
                time.sleep(0.01)
        with lock:
            told["refused"] += refused
            told["stall"] = max(told["stall"], time.monotonic() - began)
        time.sleep(0.005)
    with lock:
        told["writes"][path] = done


threads = [threading.Thread(target=work, args=(path,)) for path in databases for work in (reads, writes)]
for thread in threads:
    thread.start()
print("at work", flush=True)
for thread in threads:
    thread.join()
print(json.dumps(told))
