"""The automations of our deployments: rules that Prefect's server follows by itself, whether or not we live.

Facts, of Prefect 3.8.8: the event of a state is called by the state's *name*, and ours have names of their own
(Partly, Damaged), so rules ask for `prefect.state-type`. A heartbeat comes every 180 s. A trigger that has fired
ignores what follows within its time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, RunDeployment, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from flows.ops.deployments import TAG, Thing

SILENT = timedelta(minutes=15)  # five heartbeats; a server that was away for less takes nobody for dead
LATE = timedelta(hours=1)  # by then a worker with all places taken is as good as none
TOGETHER = timedelta(minutes=1)  # one look at all that fails within it
RUNS = {"prefect.resource.id": "prefect.flow-run.*"}
BAD: Mapping[str, str | list[str]] = {**RUNS, "prefect.state-type": ["FAILED", "CRASHED"]}
ANY = {"prefect.flow-run.*"}
ENDED = ("{{ flow_run.state.name }}", "{{ flow_run.state.message }}")


def automations(
    mark: str, flows: Sequence[str], watch: UUID | None, block: UUID | None, *, silent: timedelta = SILENT
) -> list[AutomationCore]:
    """The rules for runs with the tag `mark`.

    `flows`: after whose bad ends the deployment `watch` is run. Its own is not among them: it ends badly as long
    as something is wrong, and would run for ever, and be said each hour.
    `watch`: None, where that name is somebody else's.
    `block`: Prefect's notification block that is told what `watch` cannot tell; None: none.
    """
    tagged = ResourceSpecification({"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{mark}"})
    those = ResourceSpecification({"prefect.resource.role": "flow", "prefect.resource.name": list(flows)})
    made = [
        _automation(
            mark,
            "zombie",
            "A run without a heartbeat: its process is gone, and the run is crashed",
            EventTrigger(
                after={"prefect.flow-run.heartbeat"},
                expect=ANY,
                match=dict(RUNS),
                match_related=[tagged],
                for_each={"prefect.resource.id"},
                posture=Posture.Proactive,
                threshold=1,
                within=silent,
            ),
            ChangeFlowRunState(
                state=StateType.CRASHED,
                message=f"no heartbeat for {silent.total_seconds():.0f} s: its process is gone",
            ),
        ),
    ]
    if watch is not None:
        made += [
            _automation(
                mark,
                "watch",
                "A run failed or crashed: look for what is wrong, and tell",
                EventTrigger(
                    expect=ANY,
                    match=dict(BAD),
                    match_related=[tagged, those],
                    posture=Posture.Reactive,
                    threshold=1,
                    within=TOGETHER,
                ),
                RunDeployment(source="selected", deployment_id=watch, schedule_after=TOGETHER),
            )
        ]
    if block is None:
        return made
    return [
        *made,
        _automation(
            mark,
            "failed",
            "A run failed: say so",
            _ended("FAILED", [tagged, those]),
            _say(block, *ENDED),
        ),
        _automation(
            mark,
            "crashed",
            "A run crashed: say so",
            _ended("CRASHED", [tagged]),
            _say(block, *ENDED),
        ),
        _automation(
            mark,
            "late",
            "Nobody took a run in time: say so",
            EventTrigger(
                after={"prefect.flow-run.Late"},
                expect={f"prefect.flow-run.{name}" for name in ("Pending", "Running", "Cancelled", "Cancelling")},
                match=dict(RUNS),
                match_related=[tagged, those],
                for_each={"prefect.resource.id"},
                posture=Posture.Proactive,
                threshold=1,
                within=LATE,
            ),
            _say(
                block, "late", f"nobody took it within {LATE}: does the worker, or `strongroom serve`, still live?"
            ),
        ),
    ]


def _ended(how: str, related: list[ResourceSpecification | dict[str, str | list[str]]]) -> EventTrigger:
    match = {**RUNS, "prefect.state-type": how}
    return EventTrigger(expect=ANY, match=match, match_related=related, posture=Posture.Reactive, threshold=1)


def _automation(
    mark: str,
    name: str,
    description: str,
    trigger: EventTrigger,
    action: ChangeFlowRunState | RunDeployment | SendNotification,
) -> AutomationCore:
    return AutomationCore(
        name=f"{mark} {name}", description=description, tags=[TAG, mark], trigger=trigger, actions=[action]
    )


def _say(block: UUID, subject: str, body: str) -> SendNotification:
    # `ui_url` is None where the server was told no address of its UI.
    text = f"{body}\n{{{{ flow_run|ui_url }}}}"
    return SendNotification(
        block_document_id=block, subject=f"{TAG}: {{{{ flow_run.name }}}} {subject}", body=text
    )


def thing(automation: AutomationCore) -> Thing:
    """An automation as it is compared. Whether it is switched on is left to who operates it."""
    told = automation.model_dump(mode="json", include={"description", "trigger", "actions"})
    for name in ("after", "expect", "for_each"):
        told["trigger"][name] = sorted(told["trigger"].get(name) or ())
    return Thing("automation", automation.name, {key: _text(value) for key, value in told.items()})


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
