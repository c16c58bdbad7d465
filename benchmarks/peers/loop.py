"""Page after page through a query, each row a line of JSON."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def settings(env_file: str) -> tuple[str, str]:
    """Return URL and key of a sandbox."""
    lines = (line.split("=", 1) for line in Path(env_file).read_text().splitlines() if "=" in line)
    found = {name: value.strip("\"'") for name, value in lines}
    return found["CONVEX_SELF_HOSTED_URL"], found["CONVEX_SELF_HOSTED_ADMIN_KEY"]


def export(query: Callable[..., Any], output: str, most: int) -> int:
    """Write at least `most` rows, or all there are; return how many."""
    args: dict[str, Any] = {"limit": 1000.0}
    count = 0
    with open(output, "w", encoding="utf-8") as file:
        while count < most:
            page = query("convexMsgs:page", args)
            file.writelines(json.dumps(row) + "\n" for row in page["rows"])
            count += len(page["rows"])
            if page["isDone"]:
                break
            args["after"] = page["cursor"]
    return count
