"""In which order actors start and stop. Pure questions about a snapshot of the tree; asked again on every change.

Asking "may this one go now?" of the present state, instead of walking a list, keeps each actor independent: a
slow or stuck one holds only those that wait for it (circus has one lock for all: circus 1154).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from nerv.messages import ActorState
from nerv.supervisor.restart import Strategy
from nerv.supervisor.specification import ActorSpec, Specification

SATISFIED = frozenset({ActorState.READY, ActorState.FINISHED})
RUNNING = frozenset({ActorState.STARTING, ActorState.READY, ActorState.STOPPING})


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules need to know of one actor; ``leaving``: it has been told to stop and has not yet ended."""

    state: ActorState
    leaving: bool = False

    @property
    def running(self) -> bool:
        return self.state in RUNNING


Tree = Mapping[str, View]


def blockers(specification: Specification, tree: Tree, actor: ActorSpec) -> tuple[str, ...]:
    """Actors that must become ready, or go down, before this one may start. Empty: it may."""
    group = specification.group(actor.group)
    names = [other.name for other in specification.members(group.name)]
    place = names.index(actor.name)
    waits = [
        other.name
        for before in group.after
        for other in specification.members(before)
        if tree[other.name].state not in SATISFIED
    ]
    match group.strategy:
        case Strategy.ONE_FOR_ONE:
            pass
        case Strategy.REST_FOR_ONE:
            waits += [name for name in names[:place] if tree[name].state not in SATISFIED]
            waits += [name for name in names[place + 1 :] if tree[name].leaving]
        case Strategy.ONE_FOR_ALL:
            waits += [name for name in names if name != actor.name and tree[name].leaving]
    return tuple(waits)


def holders(specification: Specification, tree: Tree, actor: ActorSpec, *, whole: bool) -> tuple[str, ...]:
    """Actors that must be down before this one may be stopped. ``whole``: the cluster is stopping."""
    names = [other.name for other in specification.actors]
    later = specification.actors[names.index(actor.name) + 1 :]
    ordered = specification.group(actor.group).strategy is not Strategy.ONE_FOR_ONE
    return tuple(
        other.name
        for other in later
        if tree[other.name].running
        and ((whole and other.group != actor.group) or (ordered and other.group == actor.group))
        and (whole or tree[other.name].leaving)
    )
