"""Files of stacks that stay small: the time of rare stacks goes to the callers that they share with frequent ones."""

from collections.abc import Callable, Mapping

from bench_harness.profiles.statistics import Folded, Function

CUT: Function = ("<cut>", 0, "[rare stacks]")
_NODES = (8000, 4000, 2000, 1000, 500, 250, 100)  # of the tree of all stacks, tried in this order


def fitting(
    stacks: Mapping[str, Folded], render: Callable[[Mapping[str, Folded]], str], limit_bytes: int
) -> tuple[str, bool]:
    """Return what `render` makes of stacks, by process, in at most `limit_bytes`; and whether rare ones were cut.

    Where even the shortest is larger, that is returned.
    """
    text = render(stacks)
    if len(text) <= limit_bytes:
        return text, False
    for nodes in _NODES:
        share = nodes // max(1, len(stacks))
        text = render({label: prune(folded, share) for label, folded in stacks.items()})
        if len(text) <= limit_bytes:
            break
    return text, True


def prune(folded: Folded, max_nodes: int) -> Folded:
    """Return stacks whose tree has few nodes; the whole time is kept.

    Stacks come in the order of their time. One that would make the tree too large is cut where it leaves it.
    """
    known: set[tuple[Function, ...]] = set()
    pruned: Folded = {}
    for stack, weight in sorted(folded.items(), key=lambda item: (-item[1], item[0])):
        depth = next((depth for depth in range(len(stack), 0, -1) if stack[:depth] in known), 0)
        if depth < len(stack) and len(known) + len(stack) - depth > max_nodes:
            stack = (*stack[:depth], CUT)
        else:
            known.update(stack[:end] for end in range(depth + 1, len(stack) + 1))
        pruned[stack] = pruned.get(stack, 0.0) + weight
    return pruned
