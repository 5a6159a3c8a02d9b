"""Networks are built one at a time.

While transformers builds one, it has torch put all parameters of the process on no device at all; a network that is
built meanwhile would have none.
"""

from __future__ import annotations

import threading

building = threading.RLock()
