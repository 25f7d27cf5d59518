"""The store process: replies as they stream, each delta published only once it is on the disk."""

from __future__ import annotations

import time

import msgspec

from infra.replies import SqliteReplyStore
from kernel.messages import ReplyAppend, ReplyDelta, ReplyRead, ReplySeal, ReplySealed, ReplyView
from nerv.actor import Actor, Context, handles
from nerv.messages import Ok
from nerv.settings import decode_settings

DATABASE_NAME = "replies.db"


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The store takes no settings yet; whatever is given is refused by name."""


class StoreActor(Actor):
    async def start(self) -> None:
        decode_settings(self.settings, StoreSettings, actor=self.name)
        self._replies = await SqliteReplyStore.open(self.instance.data / DATABASE_NAME)

    async def stop(self) -> None:
        await self._replies.close()

    def gauges(self) -> dict[str, float]:
        statistics = self._replies.statistics()
        return {
            "database_waiting": statistics.writer.waiting,
            "database_operations_total": statistics.writer.operations,
            "database_commits_total": statistics.writer.groups,
            "database_commit_seconds_total": statistics.writer.commit_seconds,
            "database_log_pages": statistics.log_pages,
        }

    @handles(ReplyAppend, ack="on_reply")
    async def append(self, message: ReplyAppend, context: Context) -> Ok:
        stored = await self._replies.append(message)
        if stored.deltas:
            event = ReplyDelta(task=message.task, attempt=message.attempt, deltas=stored.deltas)
            self.peer.publish(f"reply.{message.task}", event)
        return Ok()

    @handles(ReplySeal, ack="on_reply")
    async def seal(self, message: ReplySeal, context: Context) -> ReplySealed:
        return ReplySealed(reply=await self._replies.seal(message, now=time.time()))

    @handles(ReplyRead)
    async def read(self, message: ReplyRead, context: Context) -> ReplyView:
        return await self._replies.read(message.task, attempt=message.attempt, after=message.after)
