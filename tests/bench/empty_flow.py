"""A flow that does nothing: what a run of any flow costs, before ours does a thing."""

from __future__ import annotations

from prefect import flow


@flow(name="empty", persist_result=False)
def empty(number: int = 0) -> int:
    """Nothing."""
    return number
