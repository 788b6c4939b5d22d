"""Two published simulators of order books at the work they are made for, one order after another; printed as JSON.

Run by ``scale.py`` in an environment of its own, where pams and bourse are installed and this package is not.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import json
import random
import sys
import time

PAMS = {
    "simulation": {
        "markets": ["Market"],
        "agents": ["FCNAgents"],
        "sessions": [
            {"sessionName": 0, "iterationSteps": 100, "withOrderPlacement": True, "withOrderExecution": False, "withPrint": False},
            {"sessionName": 1, "iterationSteps": 2_000, "withOrderPlacement": True, "withOrderExecution": True, "withPrint": False},
        ],
    },
    "Market": {"class": "Market", "tickSize": 0.01, "marketPrice": 250.0},
    "FCNAgents": {
        "class": "FCNAgent",
        "numAgents": 100,
        "markets": ["Market"],
        "assetVolume": 50,
        "cashAmount": 10_000,
        "fundamentalWeight": {"expon": [1.0]},
        "chartWeight": {"expon": [0.1]},
        "noiseWeight": {"expon": [1.0]},
        "noiseScale": 0.001,
        "timeWindowSize": [100, 200],
        "orderMargin": [0.0, 0.1],
    },
}


def pams() -> dict[str, float]:
    """Steps a second of a market of a hundred agents (Chiarella and Iori's three motives); about one order a step."""
    from pams.logs.base import Logger
    from pams.runners import SequentialRunner

    class Counter(Logger):
        orders = 0

        def process_order_log(self, log) -> None:
            self.orders += 1

    counter = Counter()
    runner = SequentialRunner(settings=PAMS, prng=random.Random(1), logger=counter)
    start = time.perf_counter()
    runner.main()
    seconds = time.perf_counter() - start
    return {"orders": counter.orders, "seconds": seconds}


def bourse(orders: int = 300_000) -> dict[str, float]:
    """Orders a second into a book in Rust from a Python loop: half of them rest, half take."""
    from bourse import core

    rng = random.Random(1)
    draws = [(rng.random() < 0.5, rng.randrange(1, 50), rng.randrange(-20, 21)) for _ in range(orders)]
    book = core.OrderBook(0, 1, True)
    start = time.perf_counter()
    for at, (bid, volume, away) in enumerate(draws):
        book.set_time(at)
        book.place_order(bid, volume, at, price=25_000 + away)
    return {"orders": orders, "seconds": time.perf_counter() - start}


def main() -> None:
    found = {}
    for peer in (pams, bourse):
        with contextlib.redirect_stdout(io.StringIO()):
            peer()  # once to warm up
            found[peer.__name__] = peer() | {"version": importlib.metadata.version(peer.__name__)}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
