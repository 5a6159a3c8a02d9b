"""Keys on record: made and revoked by the command line, read by every server on the same database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import Select, bindparam, or_, select, update

from whisperx_api.jobs.sessions import Sessions
from whisperx_api.jobs.tables import KeyRow
from whisperx_api.keys import Scope, StoredKey

COLUMNS = tuple(column.name for column in KeyRow.__table__.columns)


class KeyStore(Sessions):
    """Keys in a SQL database. Each method raises `StoreUnavailable` where the database does not do it."""

    async def add(self, key: StoredKey) -> None:
        """Put a key on record."""
        values = {name: getattr(key, name) for name in COLUMNS}
        async with self.transaction() as session:
            session.add(KeyRow(**values | {"scopes": sorted(scope.value for scope in key.scopes)}))

    async def keys(self) -> Sequence[StoredKey]:
        """Return every key that ever was, the oldest first."""
        return await self._keys(select(KeyRow).order_by(KeyRow.created_at, KeyRow.id))

    async def known(self) -> Sequence[StoredKey]:
        """Return the keys that are not revoked."""
        return await self._keys(select(KeyRow).where(KeyRow.revoked_at.is_(None)))

    async def revoke(self, name_or_id: str) -> Sequence[StoredKey]:
        """Revoke the key with this id, or every key of this name; return those that were not revoked before."""
        meant = or_(KeyRow.id == name_or_id, KeyRow.name == name_or_id)
        now = datetime.now(timezone.utc)
        revoking = update(KeyRow).where(meant, KeyRow.revoked_at.is_(None)).values(revoked_at=now).returning(KeyRow)
        async with self.transaction() as session:
            return [_key(row) for row in await session.scalars(revoking)]

    async def used(self, uses: Mapping[str, datetime]) -> None:
        """Note when keys were last used, by their ids; another server may know of a later use."""
        if not uses:
            return
        earlier = or_(KeyRow.last_used_at.is_(None), KeyRow.last_used_at < bindparam("at"))
        noting = update(KeyRow).where(KeyRow.id == bindparam("key"), earlier).values(last_used_at=bindparam("at"))
        async with self.transaction() as session:
            connection = await session.connection()
            await connection.execute(noting, [{"key": key, "at": at} for key, at in sorted(uses.items())])

    async def _keys(self, wanted: Select[KeyRow]) -> Sequence[StoredKey]:
        return [_key(row) for row in await self.read(lambda session: session.scalars(wanted).all())]


def _key(row: KeyRow) -> StoredKey:
    values: dict[str, Any] = {name: getattr(row, name) for name in COLUMNS}
    values["scopes"] = frozenset(Scope(scope) for scope in row.scopes)
    return StoredKey(**values)
