"""Time spent waiting, told from work, and for whom: "for loader", "for main" or "idle".

Locks, polls and queues are found where they lie in the standard library. For whom is said by the first function above
them that is no library: torch's data loading and, for what came through a queue or pipe of multiprocessing, any. In
main that is "for loader" (also where it waits for the results of a pool), in other processes "for main", else "idle".
A thread in the background that waits costs nobody anything: its time is left out, as is that of the harness itself.
time.sleep and reading from files or sockets are calls of the user: they stay functions.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from bench_harness.profiles import waiting_functions as known
from bench_harness.profiles.own_code import is_harness, is_synthetic
from bench_harness.profiles.statistics import Cost, Entry, Folded, Function, Profile, Times, costs, stack_costs
from bench_harness.segments import Role

Kind = Literal["for loader", "for main", "idle"]
KINDS: tuple[Kind, ...] = ("for loader", "for main", "idle")
HARNESS = "the harness itself"
BACKGROUND = "waiting threads in the background"
Shares = dict[str, float]  # of Kind and BACKGROUND; sums to 1
NO_PYTHON = "no Python function was running"
_ROUNDING_S = 1e-9
_PIPELINE = "/bench_harness/capture/pipeline/"


@dataclass
class Account:
    """Where the captured time of a process, or of several, went.

    Args:
        functions: work, without any waiting and without the harness's own.
        waiting: by kind; calls None for sampled stacks.
        left_out_s: seconds that count nowhere, by why (HARNESS, BACKGROUND).
    """

    functions: dict[Function, Cost] = field(default_factory=dict)
    waiting: dict[str, Cost] = field(default_factory=dict)
    left_out_s: dict[str, float] = field(default_factory=dict)

    @property
    def captured_s(self) -> float:
        """Own seconds of all functions, and waiting: what shares are of."""
        return sum(cost.own_s for cost in self.functions.values()) + self.waiting_s

    @property
    def waiting_s(self) -> float:
        """Seconds waited, of every kind."""
        return sum(cost.own_s for cost in self.waiting.values())

    def add_waiting(self, kind: str, seconds: float, calls: int | None) -> None:
        """Book a wait of a kind."""
        if kind == BACKGROUND:
            self.leave_out(BACKGROUND, seconds)
        elif seconds > 0 or calls:
            cost = Cost(calls, seconds, seconds)
            self.waiting[kind] = self.waiting[kind] + cost if kind in self.waiting else cost

    def leave_out(self, why: str, seconds: float) -> None:
        """Book time that counts nowhere."""
        if seconds > 0:
            self.left_out_s[why] = self.left_out_s.get(why, 0.0) + seconds


def add_accounts(accounts: Iterable[Account]) -> Account:
    """Return the sum over phases or processes."""
    total = Account()
    for account in accounts:
        _add_costs(total.functions, account.functions)
        _add_costs(total.waiting, account.waiting)
        for why, seconds in account.left_out_s.items():
            total.leave_out(why, seconds)
    return total


def _add_costs(mine: dict[Any, Cost], theirs: dict[Any, Cost]) -> None:
    for key, cost in theirs.items():
        mine[key] = mine[key] + cost if key in mine else cost


def account_of_profile(profile: Profile, role: Role) -> Account:
    """Divide the statistics of a process of a role; a lock that several functions share is split by its callers."""
    account, waiters, harness = Account(), _Waiters(profile, role), _HarnessShares(profile)
    waited: dict[str, list[float]] = {}  # kind to calls and seconds: shares of calls are no whole numbers
    for function, cost in costs(profile).items():
        if is_harness(function[0]):
            account.leave_out(HARNESS, cost.own_s)
        elif known.is_waiting_python(function):
            _book(waited, waiters.of(function, False), 0, cost.own_s)
        else:
            for caller, times in _edges(profile[function]).items():
                if known.is_waiting_builtin(function, caller):
                    _book(waited, waiters.of(caller, False), times[0], times[2])
                    cost = _less(cost, times, 1.0)
                elif known.is_bookkeeping(function) and (part := harness.of(caller)):
                    account.leave_out(HARNESS, min(cost.own_s, times[2] * part))
                    cost = _less(cost, times, part)
            # What rounding leaves of a function that only waits is no work.
            if cost.calls or cost.own_s > _ROUNDING_S:
                account.functions[function] = cost
    for kind, (calls, seconds) in waited.items():
        account.add_waiting(kind, seconds, round(calls))
    return account


def _edges(entry: Entry) -> dict[Function, Times]:
    """Return the calls by each caller; _NOBODY made those that no caller accounts for."""
    calls, own_s, total_s = (entry.times[i] - sum(times[i] for times in entry.callers.values()) for i in (1, 2, 3))
    rest = (max(0, calls), 0, max(0.0, own_s), max(0.0, total_s))
    return {**entry.callers, _NOBODY: rest} if calls > 0 or own_s > _ROUNDING_S else entry.callers


def _less(cost: Cost, times: Times, part: float) -> Cost:
    """Return a cost without a part of what one caller caused."""
    own_s = max(0.0, cost.own_s - times[2] * part)
    calls = max(0, (cost.calls or 0) - round(times[0] * part))
    return Cost(calls, own_s, max(own_s, cost.total_s - times[3] * part))


_NOBODY: Function = ("", 0, "")


def _book(waited: dict[str, list[float]], shares: Shares, calls: float, seconds: float) -> None:
    for kind, share in shares.items():
        booked = waited.setdefault(kind, [0.0, 0.0])
        booked[0] += calls * share
        booked[1] += seconds * share


class _Waiters:
    """For whom a function of a profile waits: walks up its callers, in proportion to the time that each caused."""

    def __init__(self, profile: Profile, role: Role) -> None:
        self._profile = profile
        self._role = role
        self._found: dict[tuple[Function, bool], Shares] = {}
        self._open: set[tuple[Function, bool]] = set()

    def of(self, function: Function, asked: bool) -> Shares:
        """Return the shares of each kind; `asked`: something below asked for what another process has to send."""
        decided = _decided(function, asked, self._role)
        if decided is not None:
            return {decided: 1.0}
        key = (function, asked or known.is_entry(function))
        if key not in self._found:
            self._open.add(key)
            self._found[key] = self._above(*key)
            self._open.discard(key)
        return self._found[key]

    def _above(self, function: Function, asked: bool) -> Shares:
        callers = self._profile[function].callers if function in self._profile else {}
        # A cycle says nothing new: what it adds is divided like the rest.
        callers = {caller: times for caller, times in callers.items() if (caller, asked) not in self._open}
        weights = {caller: times[3] for caller, times in callers.items()}
        if not sum(weights.values()):
            weights = {caller: times[0] for caller, times in callers.items()}
        whole = sum(weights.values())
        if not whole:
            return {_kind(asked, self._role): 1.0}
        shares: Shares = {}
        for caller, weight in weights.items():
            for kind, share in self.of(caller, asked).items():
                shares[kind] = shares.get(kind, 0.0) + share * weight / whole
        return shares


class _HarnessShares:
    """Which part of a function of the standard library ran for the harness itself: its dumps, its clocks."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._found: dict[Function, float] = {}

    def of(self, function: Function) -> float:
        """Return the share of a function's time that it spent for the harness."""
        if is_harness(function[0]):
            return 1.0
        if function not in self._profile or not known.is_bookkeeping(function):
            return 0.0
        if function not in self._found:
            self._found[function] = 0.0  # for those that call each other
            callers = self._profile[function].callers
            whole = sum(times[3] for times in callers.values())
            if whole:
                parts = (times[3] * self.of(caller) for caller, times in callers.items())
                self._found[function] = sum(parts) / whole
        return self._found[function]


def _decided(function: Function, asked: bool, role: Role) -> str | None:
    """Return the kind that a function on the way up decides; None if it is passed through."""
    if known.is_background_thread(function):
        return BACKGROUND
    if known.is_torch_data(function):
        return _kind(asked or role == "main", role)
    if function == _NOBODY or not known.is_passed_through(function):
        return _kind(asked, role)
    return None


def _kind(asked: bool, role: Role) -> Kind:
    if not asked:
        return "idle"
    return "for loader" if role == "main" else "for main"


def for_whom(kind: str, roles: Collection[str]) -> str:
    """Say for whom was waited, where something was captured of these roles: main also waits for a pool's results."""
    if kind == "for loader" and "workers" not in roles:
        return "for its processes"
    return {"for loader": "for the loader", "for main": "for main"}.get(kind, "for something else")


def account_of_stacks(folded: Folded, role: Role) -> Account:
    """Divide the sampled stacks of a process of a role."""
    account = Account()
    work: Folded = {}
    for whole, weight in folded.items():
        # Hooks around the functions of the target are folded into their callers: what they wrap is no time of theirs.
        stack = tuple(function for function in whole if _PIPELINE not in function[0])
        if all(known.is_frame_of_ours(function) for function in stack):
            account.leave_out(NO_PYTHON, weight)
        elif _waits(stack):
            kind = _kind_of_stack(stack, role)
            account.add_waiting(kind, weight, None)
            if kind != BACKGROUND:
                _add_costs(account.functions, {each: Cost(None, 0.0, weight) for each in set(stack)})
        elif _is_of_the_harness(stack):
            account.leave_out(HARNESS, weight)
        else:
            work[stack] = work.get(stack, 0.0) + weight
    _add_costs(account.functions, stack_costs(work))
    account.functions = {function: cost for function, cost in account.functions.items() if _is_work(function, cost)}
    return account


def _waits(stack: tuple[Function, ...]) -> bool:
    caller = stack[-2] if len(stack) > 1 else None
    return known.is_waiting_python(stack[-1]) or known.is_waiting_builtin(stack[-1], caller)


def _kind_of_stack(stack: tuple[Function, ...], role: Role) -> str:
    asked = False
    for function in reversed(stack):
        decided = _decided(function, asked, role)
        if decided is not None:
            return decided
        asked = asked or known.is_entry(function)
    return _kind(asked, role)


def _is_of_the_harness(stack: tuple[Function, ...]) -> bool:
    """Whether the harness does this itself, perhaps through the standard library: it writes a dump, for example."""
    for function in reversed(stack):
        if is_harness(function[0]):
            return True
        if not (is_synthetic(function[0]) or known.is_bookkeeping(function)):
            return False
    return False


def _is_work(function: Function, cost: Cost) -> bool:
    only_waits = known.is_waiting_python(function) or (function[0] == "<built-in>" and not cost.own_s)
    return not (only_waits or is_harness(function[0]) or known.is_frame_of_ours(function))
