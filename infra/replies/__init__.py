"""The store of replies: deltas as they stream, and the sealed whole. In a file of its own, apart from tasks."""

from infra.replies.sqlite import Appended, SqliteReplyStore

__all__ = ("Appended", "SqliteReplyStore")
