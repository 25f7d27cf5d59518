"""A load of prompts whose right answers are known, and the questions asked of it afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from drivers.playground import Playground, reply_for
from kernel.messages import QUEUE, STORE, ReplyRead, ReplyView, TaskGet, TaskSubmit
from kernel.tasks import FINAL_STATES, Task, TaskId, TaskState
from kernel.work import submit
from nerv.client import Client
from tests.cluster import Cluster, until

PROVIDER = "playground"


@dataclass(kw_only=True)
class Workload:
    """Prompts that were accepted by the queue, by task id."""

    cluster: Cluster
    playground: Playground
    prompts: dict[TaskId, str] = field(default_factory=dict)

    async def add(self, client: Client, *prompts: str) -> list[TaskId]:
        ids = []
        for prompt in prompts:
            accepted = await submit(client, TaskSubmit(provider=PROVIDER, prompt=prompt, timeout=300.0))
            self.prompts[accepted.id] = prompt
            ids.append(accepted.id)
        return ids

    async def streaming(self, client: Client, *ids: TaskId, characters: int = 1) -> None:
        """Wait until each of the tasks has at least so many characters of its reply stored."""

        async def all_stream() -> bool:
            return all([(await self.reply(client, task)).length >= characters for task in ids])

        await until(f"{len(ids)} replies stream", all_stream, seconds=60)

    async def ended(self, *ids: TaskId, seconds: float = 120.0) -> list[Task]:
        """Wait for the tasks' final states, over whatever restarts; the tasks."""
        async with self.cluster.client() as client:

            async def all_final() -> list[Task] | None:
                tasks = [await self.task(client, task) for task in ids]
                return tasks if all(task.state in FINAL_STATES for task in tasks) else None

            return await until("all tasks are final", all_final, seconds=seconds)

    async def task(self, client: Client, task: TaskId) -> Task:
        view = await client.request(QUEUE, TaskGet(id=task), timeout=60.0)
        return view.task

    async def reply(self, client: Client, task: TaskId) -> ReplyView:
        return await client.request(STORE, ReplyRead(task=task), timeout=60.0)

    async def check(self) -> None:
        """Every accepted task is DONE with exactly the page's Markdown, and no prompt reached the page twice."""
        tasks = await self.ended(*self.prompts)
        async with self.cluster.client() as client:
            for task in tasks:
                prompt = self.prompts[task.id]
                assert task.state is TaskState.DONE, f"{task.id} is {task.state}: {task.error}"
                assert (await self.reply(client, task.id)).text == reply_for(prompt), (
                    f"{task.id} has another text"
                )
        received = (await self.playground.stats()).received
        twice = {prompt: count for prompt, count in received.items() if count > 1}
        assert not twice, f"prompts that were sent more than once: {twice}"


@asynccontextmanager
async def added_playground(
    cluster: Cluster, playground: Playground, *, path: str = ""
) -> AsyncIterator[Workload]:
    """The playground as a discovered provider of the cluster."""
    await cluster.check("provider", "add", playground.url + path, "--name", PROVIDER)
    yield Workload(cluster=cluster, playground=playground)
