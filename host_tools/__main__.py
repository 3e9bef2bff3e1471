# SPDX-License-Identifier: MIT
"""The `ttzo` command, and `python -m ttzo.host_tools` where its script is not on the path."""

import json
import sys

INTERRUPTED = 130  # as screen.py has it, which is not imported yet


def main() -> None:
    """Ctrl-C ends the command with a sentence also while its modules are being imported, which takes a second."""
    try:
        from ttzo.host_tools.cli.commands import main as ttzo
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        if "--json" in sys.argv:
            print(json.dumps({"ok": False, "error": "interrupted", "next": "", "exit_code": INTERRUPTED}))
        sys.exit(INTERRUPTED)
    ttzo(prog_name="ttzo")


if __name__ == "__main__":
    main()
