"""What the cases of both clients share."""

import os
import sys
import time
import traceback

PARTITIONS = 12
DEADLINE = 60.0
BOOTSTRAP, PREFIX = sys.argv[1:3]

failures = []


def told(name):
    """Runs its body as a case: prints `ok NAME` or `FAIL NAME: why`."""
    return _Case(name)


class _Case:
    def __init__(self, name):
        self.name = name

    def __enter__(self):
        return self

    def __exit__(self, kind, why, trace):
        if why is None:
            print(f"ok {self.name}", flush=True)
            return True
        if not isinstance(why, Exception):
            return False
        failures.append(self.name)
        lines = traceback.format_exception(kind, why, trace)[-3:]
        text = " | ".join(" ".join(line.split()) for line in lines)
        print(f"FAIL {self.name}: {text}", flush=True)
        return True


def deadline():
    """A function that fails once the time of a case is over."""
    end = time.monotonic() + DEADLINE

    def check(*what):
        assert time.monotonic() < end, f"not in time: {what}"

    return check


def messages(count):
    """(partition, key, value, headers, timestamp) with everything that a record can have."""
    start = int(time.time() * 1000) - 1_000_000
    made = []
    for i in range(count):
        # aiokafka sends no record without both.
        key = None if i % 7 == 0 and i % 13 else b"" if i % 11 == 0 else f"key {i}".encode()
        size = i * 7919 % 1500
        value = None if i % 13 == 0 else b"" if i % 17 == 0 else os.urandom(size) if i % 2 else (f"ü{i}" * (i % 90)).encode()
        headers = [] if i % 3 == 0 else [("one", str(i).encode()), ("twice", b"a"), ("twice", bytes([0, 255, i % 256]))]
        made.append((i % PARTITIONS, key, value, headers, start + i * 7919 % 900_000))
    return made


def compare(sent, found):
    """`found` is what was read: for each partition, (offset, key, value, headers, timestamp)."""
    for partition in range(PARTITIONS):
        expected = [(at, *rest) for at, (_, *rest) in enumerate(one for one in sent if one[0] == partition)]
        read = found.get(partition, [])
        assert len(read) == len(expected), f"partition {partition}: {len(read)} records, {len(expected)} were sent"
        for wanted, got in zip(expected, read):
            assert tuple(got) == tuple(wanted), f"partition {partition}, offset {wanted[0]}: {got}"


def end():
    sys.exit(1 if failures else 0)
