"""Tasks end, also those that lose their first cancellation."""

import asyncio

from shared.runtime.tasks import end


async def test_a_task_that_forgets_a_cancellation_ends_all_the_same() -> None:
    forgotten = 0

    async def stubborn() -> None:
        nonlocal forgotten
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                forgotten += 1
                if forgotten == 2:
                    raise

    async with asyncio.timeout(5):
        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        await end(task)
    assert task.cancelled()
    assert forgotten == 2


async def test_what_a_task_raises_at_its_end_is_nobodys_business() -> None:
    async def broken() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise OSError("too late")

    task = asyncio.create_task(broken())
    await asyncio.sleep(0)
    await end(task)
    assert task.done()


async def test_no_tasks_end_at_once() -> None:
    await end()
