"""The demonstration says in words what kept it from showing what it promises."""

import asyncio

import pytest

from local.demo import Unexpected, customers_meet_a_fault
from local.ports import free_port
from tests.activities.http_endpoint import response, sends, serving


async def test_a_sandbox_that_refuses_the_fault_ends_the_demonstration_in_words() -> None:
    async with serving(sends(response("503 Service Unavailable", b""))) as sandbox:
        with pytest.raises(Unexpected, match=r"^the sandbox did not take the fault: .*503 Service Unavailable"):
            await asyncio.to_thread(customers_meet_a_fault, sandbox)


def test_so_does_one_that_does_not_answer() -> None:
    with pytest.raises(Unexpected, match=r"^the sandbox did not take the fault: .*refused"):
        customers_meet_a_fault(f"http://127.0.0.1:{free_port()}")
