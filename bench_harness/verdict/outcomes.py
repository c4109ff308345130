"""One number on its way to a verdict: it is screened, an alarm is confirmed by fresh rounds, then it is done.

What is confirmed is judged by rounds that were measured after the alarm, and by no others: those that raised it are
the ones that chance would have chosen.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace

from bench_harness.verdict.judgement import Judgement
from bench_harness.verdict.rule import Rule, Verdict
from bench_harness.verdict.sequential import Sequential
from bench_harness.verdict.sides import Key

_FEWEST_TO_CONFIRM = 6


class Stage(enum.Enum):
    """Where a number is."""

    SCREENING = enum.auto()
    CONFIRMING = enum.auto()
    DONE = enum.auto()


@dataclass
class Samples:
    """Values of both sides, paired by round."""

    a: list[float] = field(default_factory=list)
    b: list[float] = field(default_factory=list)

    def append(self, a: float, b: float) -> None:
        """Add a round."""
        self.a.append(a)
        self.b.append(b)

    def __len__(self) -> int:
        return len(self.a)


@dataclass
class Outcome:
    """What became of one key.

    Args:
        screening, confirmation: every value that was measured, paired by round.
        judgement: the last one; None before the first look.
        alarm: what screening said, where it raised an alarm.
        abreast: whether both sides of a round ran at once.
    """

    key: Key
    rule: Rule
    sequential: Sequential
    screening: Samples = field(default_factory=Samples)
    confirmation: Samples = field(default_factory=Samples)
    stage: Stage = Stage.SCREENING
    judgement: Judgement | None = None
    alarm: Judgement | None = None
    abreast: bool = False

    @property
    def rounds(self) -> int:
        """Rounds with a value of both sides, confirmation included."""
        return len(self.screening) + len(self.confirmation)

    def rounds_to_keep_time_for(self) -> int:
        """Return about how many fresh rounds it would take to confirm an alarm of the next look."""
        return self.sequential.rounds_to_keep()

    def add(self, a: float, b: float) -> None:
        """Take in a round, and judge if it is time to."""
        if self.stage is Stage.SCREENING:
            self.screening.append(a, b)
            wanted = self.sequential.next_look()
            if wanted is None:
                self.stage = Stage.DONE
            elif len(self.screening) >= wanted:
                self._look()
        elif self.stage is Stage.CONFIRMING:
            self.confirmation.append(a, b)
            if len(self.confirmation) >= self.sequential.rounds_to_confirm():
                self._confirm()

    def end_screening(self) -> None:
        """There is no time for more: judge by what there is."""
        if self.stage is not Stage.SCREENING:
            return
        if len(self.screening) > 1:
            self._look()
        if self.stage is Stage.SCREENING:
            self.stage = Stage.DONE

    def end(self) -> None:
        """Nothing more will be measured: an alarm that was not confirmed in time is none."""
        self.end_screening()
        if self.stage is Stage.CONFIRMING and len(self.confirmation) >= _FEWEST_TO_CONFIRM:
            self._confirm()
        elif self.stage is Stage.CONFIRMING and self.judgement is not None:
            words = f"an alarm, and no time was left to confirm it ({self.judgement.words})"
            self.judgement = replace(self.judgement, verdict=Verdict.UNDECIDED, words=words)
        self.stage = Stage.DONE

    def _look(self) -> None:
        self.judgement = self.sequential.look(self.screening.a, self.screening.b)
        if self.judgement.verdict.alarm:
            self.alarm, self.stage = self.judgement, Stage.CONFIRMING
        elif self.judgement.verdict is not Verdict.UNDECIDED:
            self.stage = Stage.DONE

    def _confirm(self) -> None:
        self.judgement = self.sequential.confirm(self.confirmation.a, self.confirmation.b)
        undecided = self.judgement.verdict is Verdict.UNDECIDED
        if not undecided or self.sequential.rounds_to_confirm() <= len(self.confirmation):
            self.stage = Stage.DONE
