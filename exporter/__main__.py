"""`python -m exporter` is `wlvpn-exporter`."""

import sys

from exporter.cli import main

if __name__ == "__main__":
    sys.exit(main())
