# SPDX-License-Identifier: MIT
"""The `ttzo` command, and `python -m ttzo.host_tools` where its script is not on the path."""

import json
import sys

from ttzo.host_tools.cli.voice import Voice


def main() -> None:
    """Ctrl-C ends the command with a sentence also while its modules are being imported, which takes a second."""
    sys.stdout, sys.stderr = Voice(sys.stdout), Voice(sys.stderr)
    try:
        from ttzo.host_tools.cli.commands import main as ttzo
    except KeyboardInterrupt:
        from ttzo.device_runtime.contract import ExitCode

        print("error: interrupted", file=sys.stderr)
        if "--json" in sys.argv:
            print(json.dumps({"ok": False, "error": "interrupted", "next": "", "exit_code": int(ExitCode.interrupted)}))
        sys.exit(ExitCode.interrupted)
    ttzo(prog_name="ttzo")


if __name__ == "__main__":
    main()
