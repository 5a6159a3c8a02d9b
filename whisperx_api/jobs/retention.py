"""Deletes tasks when their time is over."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta, timezone

from whisperx_api.jobs.desk import Desk

logger = logging.getLogger(__name__)

LONGEST_PAUSE = 600.0
"""Seconds between two looks, at most."""


async def expire(desk: Desk, hours: float) -> None:
    """For ever delete tasks that ended more than `hours` ago; 0 keeps them."""
    while hours:
        try:
            if expired := await desk.expire(datetime.now(timezone.utc) - timedelta(hours=hours)):
                logger.info("%d tasks have been kept for %g hours and are deleted", expired, hours)
        except Exception:
            logger.exception("tasks whose time is over could not be deleted; the next look tries again")
        await asyncio.sleep(min(hours * 3600 / 10, LONGEST_PAUSE))
