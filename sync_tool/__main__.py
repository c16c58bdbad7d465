"""``python -m sync_tool`` is ``convex-msgs``."""

from sync_tool.cli.main import main

if __name__ == "__main__":
    main()
