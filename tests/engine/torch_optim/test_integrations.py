"""Inside trainers that people use: `make integrations` installs them, and runs this; without them it is skipped."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from l2o_engine.runs.torch_optimizer import torch_optimizer
from l2o_engine.torch_optim.optimizer import TorchOptimizer

# What these libraries warn of, themselves and each other, is not ours.
pytestmark = pytest.mark.filterwarnings("default")
TRAINED = Path(__file__).parents[2] / "data/optimizers/rnnprop_digits.safetensors"
HALVED = 0.5  # of the loss at first, that the loss is below in the end: training goes on in there


def data() -> TensorDataset:
    """Return points of a plane, and whether they are above a line."""
    points = torch.randn(256, 2, generator=torch.Generator().manual_seed(3))
    return TensorDataset(points, (points.sum(1) > 0).float())


def model() -> nn.Module:
    torch.manual_seed(4)
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1), nn.Flatten(0))


def loss_of(network: nn.Module, batch: Any) -> Tensor:
    points, above = batch
    return nn.functional.binary_cross_entropy_with_logits(network(points), above)


def whole_loss(network: nn.Module) -> float:
    with torch.no_grad():
        return float(loss_of(network, data().tensors))


def optimizer_for(network: nn.Module) -> TorchOptimizer:
    """Return an optimizer that was trained on digits (rnnprop_digits)."""
    return torch_optimizer(TRAINED, network.parameters())


def test_lightning_trains_and_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    lightning: Any = pytest.importorskip("lightning")

    class Module(lightning.LightningModule):  # type: ignore[misc]  # of a library that may not be there
        def __init__(self) -> None:
            super().__init__()
            self.network = model()

        def training_step(self, batch: Any, index: int) -> Tensor:
            return loss_of(self.network, batch)

        def configure_optimizers(self) -> Any:
            optimizer = optimizer_for(self.network)
            scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def fit(epochs: int, checkpoint: Path | None = None) -> Any:
        module = Module()
        trainer = lightning.Trainer(
            max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
            default_root_dir=tmp_path, gradient_clip_val=1.0, enable_checkpointing=False,
        )  # fmt: skip
        trainer.fit(module, DataLoader(data(), batch_size=64), ckpt_path=checkpoint)
        return trainer, module

    first, _ = fit(2)
    first.save_checkpoint(tmp_path / "two.ckpt")
    _, went_on = fit(4, tmp_path / "two.ckpt")
    _, at_once = fit(4)
    assert whole_loss(at_once.network) < HALVED * whole_loss(model())
    for own, one in zip(went_on.parameters(), at_once.parameters(), strict=True):
        assert torch.equal(own, one)


def test_accelerate_trains_and_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    accelerate: Any = pytest.importorskip("accelerate")
    made = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    bare = model()
    network, optimizer, loader = made.prepare(bare, optimizer_for(bare), DataLoader(data(), batch_size=32))

    def train(epochs: int) -> list[Tensor]:
        for _ in range(epochs):
            for batch in loader:
                with made.accumulate(network):
                    made.backward(loss_of(network, batch))
                    made.clip_grad_norm_(network.parameters(), 1.0)
                    optimizer.step()
                    optimizer.zero_grad()
        return [one.detach().clone() for one in network.parameters()]

    train(2)
    made.save_state(str(tmp_path / "state"))
    at_once = train(3)
    assert whole_loss(bare) < HALVED * whole_loss(model())
    made.load_state(str(tmp_path / "state"))
    assert all(torch.equal(own, one) for own, one in zip(train(3), at_once, strict=True))
