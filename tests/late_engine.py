"""The fake engine, which takes a second to come up."""

import sys
import time

from tests.fake_engine import main

if __name__ == "__main__":
    time.sleep(1)
    sys.exit(main(sys.argv[1:]))
