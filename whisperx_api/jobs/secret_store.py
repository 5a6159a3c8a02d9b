"""Secrets on record: made when they are first needed, and the same for every server on one database."""

from __future__ import annotations

import secrets

from sqlalchemy import select, text

from whisperx_api.jobs.sessions import Sessions
from whisperx_api.jobs.tables import SecretRow

BYTES = 32
PUT = text("INSERT INTO secrets (name, value) VALUES (:name, :value) ON CONFLICT DO NOTHING")
"""As SQLite and PostgreSQL both write it; of several servers that make a secret at once one does."""


class SecretStore(Sessions):
    """Secrets in a SQL database. Each method raises `StoreUnavailable` where the database does not do it."""

    async def secret(self, name: str) -> bytes:
        """Return the secret of this name, which is made where there is none."""
        if (found := await self._found(name)) is not None:
            return found
        async with self.transaction() as session:
            await session.execute(PUT, {"name": name, "value": secrets.token_bytes(BYTES)})
        made = await self._found(name)
        assert made is not None
        return made

    async def _found(self, name: str) -> bytes | None:
        return await self.read(lambda session: session.scalar(select(SecretRow.value).where(SecretRow.name == name)))
