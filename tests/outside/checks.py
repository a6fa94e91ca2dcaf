"""Counts checks."""

import traceback
from collections.abc import Callable
from typing import Any


class Checks:
    """What passed and what failed so far. Only failures are printed."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0

    def true(self, what: str, holds: bool, otherwise: object = "") -> bool:
        """Checks that `holds`; `otherwise` is what was seen instead."""
        if holds:
            self.passed += 1
        else:
            self.failed += 1
            print(f"  FAILED  {what}: {otherwise}", flush=True)
        return holds

    def equal(self, what: str, seen: Any, expected: Any) -> bool:
        """Checks that what was seen is what was expected."""
        return self.true(what, seen == expected, f"{seen!r}, expected {expected!r}")

    def part(self, name: str | None, run: Callable[[], None]) -> None:
        """Runs one part; an exception that leaves it is one failure, and the next part goes on."""
        passed, failed = self.passed, self.failed
        try:
            run()
        except Exception:
            self.true(f"{name} runs to its end", False, traceback.format_exc())
        print(f"{name}: {self.passed - passed} passed, {self.failed - failed} did not", flush=True)
