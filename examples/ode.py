"""A physical system fitted to what was measured of it, for l2o-tui: the loss goes through an integrator.

    l2o-tui check ode.toml --allow-code .
    l2o-tui run ode.toml --allow-code .

Each task is another oscillator with friction, q'' = -k q - c q', whose k and c are to be found from where it was at
some moments. docs/own-problem.md has more.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass
class Oscillator:
    """The mean square of what the fitted oscillator is off the measured one."""

    moments: int = 30
    dt: float = 0.2
    noise: float = 0.01

    def parameters(self, generator: Generator) -> dict[str, Tensor]:
        """Draw an oscillator, and measure it: k in 0.5 ... 2 and c in 0.05 ... 0.5, log-uniformly."""
        uniform = torch.rand(2, generator=generator)
        true = torch.log(torch.tensor([0.5, 0.05])) + uniform * torch.log(torch.tensor([4.0, 10.0]))
        noise = self.noise * torch.randn(self.moments, generator=generator)
        return {"measured": self.places(true) + noise}

    def init(self, generator: Generator) -> Tensor:
        """Begin with a guess of log k and log c: optimizing logarithms keeps both above 0."""
        return torch.log(torch.tensor([1.0, 0.15])) + 0.3 * torch.randn(2, generator=generator)

    def loss(self, x: Tensor, parameters: dict[str, Tensor]) -> Tensor:
        """Integrate with these k and c, and compare."""
        return (self.places(x) - parameters["measured"]).square().mean()

    def places(self, x: Tensor) -> Tensor:
        """Where the oscillator is at each moment, from q = 1 at rest: semi-implicit Euler."""
        stiffness, friction = x.exp().unbind()
        place, speed = torch.ones_like(stiffness), torch.zeros_like(stiffness)
        found = []
        for _ in range(self.moments):
            speed = speed - self.dt * (stiffness * place + friction * speed)
            place = place + self.dt * speed
            found.append(place)
        return torch.stack(found)
