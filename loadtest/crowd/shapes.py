"""How many users click at each moment of a scenario."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stage:
    """So many users until this second of the run, changed at most by `users_per_s` a second."""

    until_s: float
    users: int
    users_per_s: float


#: Each user makes 10 requests a second (see the locustfile), whether or not the answers are quick: an open model.
SCENARIOS: dict[str, tuple[Stage, ...]] = {
    "steady": (Stage(60, 60, 60),),
    "ramp": tuple(Stage(20 * (step + 1), 20 * (step + 1), 20) for step in range(6)),
    "spike": (Stage(20, 20, 20), Stage(40, 160, 160), Stage(60, 20, 160)),
    "soak": (Stage(1800, 40, 10),),
}


def stages(scenario: str, seconds: float | None = None, scale: float = 1.0) -> tuple[Stage, ...]:
    """The scenario stretched to last `seconds`, with `scale` times its users. Raises KeyError for an unknown name."""
    chosen = SCENARIOS[scenario]
    stretch = seconds / chosen[-1].until_s if seconds else 1.0
    return tuple(
        Stage(stage.until_s * stretch, max(1, round(stage.users * scale)), max(1.0, stage.users_per_s * scale))
        for stage in chosen
    )


def users_at(plan: tuple[Stage, ...], second: float) -> tuple[int, float] | None:
    """(users, change a second) at this second; None when the scenario is over."""
    return next(((stage.users, stage.users_per_s) for stage in plan if second < stage.until_s), None)
