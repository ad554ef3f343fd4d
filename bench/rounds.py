"""Take turns, and keep medians."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the results."""

    name: str
    unit: str
    values: Mapping[str, tuple[float, ...]]  # Contestant -> what each round gave.
    rival: str  # The contestant that the first, entrepot, is compared with; empty: *target* is a bound on its value.
    target: float  # Least ratio to the rival, or largest value.
    method: str

    @property
    def medians(self) -> dict[str, float]:
        """Contestant -> median."""
        return {name: median(values) for name, values in self.values.items()}

    @property
    def ratio(self) -> float:
        """How many times the rival's median; more is better."""
        return self.medians["entrepot"] / self.medians[self.rival]

    @property
    def met(self) -> bool:
        """Whether the target is."""
        return self.ratio >= self.target if self.rival else self.medians["entrepot"] <= self.target


def take_turns(contestants: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, tuple[float, ...]]:
    """Call each of *contestants* once a round, the order reversed every second round so that drift favours none."""
    values: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        names = list(contestants)
        for name in names if number % 2 == 0 else reversed(names):
            values[name].append(contestants[name]())
    return {name: tuple(found) for name, found in values.items()}
