"""Results of single fits in a file, so that an interrupted benchmark goes on where it was."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Store:
    """Results of fits by their key, kept in a file if there is one, so that runs resume."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.records: dict[str, Any] = {}
        if path is not None and path.exists():
            self.records = json.loads(path.read_text(encoding="utf-8"))

    def get(
        self,
        key: str,
        compute: Callable[[], Any],
        enough: Callable[[Any], bool] = lambda record: True,
    ) -> Any:
        """The record of the key, computed if there is none or if it does not hold enough."""
        if key not in self.records or not enough(self.records[key]):
            self.records[key] = compute()
            if self.path is not None:
                temporary = self.path.with_suffix(".tmp")
                temporary.write_text(json.dumps(self.records, indent=1), encoding="utf-8")
                temporary.replace(self.path)
        return self.records[key]
