"""Train a 64-128-10 network of SRIF neurons on scikit-learn's digits, for refsim to validate.

    python examples/train_digits.py [FOLDER]

Surrogate gradients (rectangle), Adam, cross-entropy on the output spike counts; the image is held
as a current for 16 steps. Seeded; about a minute on two cores. The committed weights in
validation/networks/ were made by this script.

At the end the weights are rounded to multiples of 2^-8 and each bias is moved by 2^-17. Then every
sum is exact in float32, whatever the order of additions, and no membrane comes closer than 2^-17 to
threshold: the network fires the same spikes on every machine.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from refsim.networks.data import digits
from refsim.pytorch import SRIF, reset

STEPS, EPOCHS, BATCH, SEED = 16, 60, 64, 1

DESCRIPTION = """\
title = "A 64-128-10 SRIF network trained on handwritten digits by examples/train_digits.py"
dt = "1 ms"
weights = "digits_srif.pt"

[[layer]]
linear = "0"
neuron = "srif"

[[layer]]
linear = "2"
neuron = "srif"
"""


def network() -> nn.Sequential:
    """Return the network: each Linear feeds a layer of SRIF neurons."""
    return nn.Sequential(
        nn.Linear(64, 128), SRIF("rectangle"), nn.Linear(128, 10), SRIF("rectangle")
    )


def spike_counts(model: nn.Module, images: Tensor) -> Tensor:
    """Run the image for all steps from rest; return output spikes per class, (batch, 10)."""
    reset(model)
    return torch.stack([model(images) for _ in range(STEPS)]).sum(dim=0)


def train(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Train on cross-entropy of the spike counts, scaled to logits."""
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS)
    for epoch in range(EPOCHS):
        model.train()
        total = 0.0
        for batch in torch.randperm(len(images)).split(BATCH):
            loss = nn.functional.cross_entropy(spike_counts(model, images[batch]), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item() * len(batch)
        schedule.step()
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1}: loss {total / len(images):.3f}")


@torch.no_grad()
def round_to_grid(model: nn.Module) -> None:
    """Round weights and biases to multiples of 2^-8, and move biases off that grid by 2^-17.

    Inputs are multiples of 2^-4, so membranes are multiples of 2^-12 plus (steps so far) times
    2^-17: for up to 16 steps never the threshold 0.5, and below 128 exact in the 24 bits of
    float32.
    """
    for name, tensor in model.named_parameters():
        tensor.copy_(torch.round(tensor * 2**8) / 2**8 + (2**-17 if name.endswith("bias") else 0))


def main(folder: Path) -> None:
    """Train, test and save."""
    torch.manual_seed(SEED)
    (train_images, train_labels), (test_images, test_labels) = (
        _tensors(part) for part in ("train", "test")
    )
    model = network()
    train(model, train_images, train_labels)
    round_to_grid(model)
    with torch.no_grad():
        accuracy = (
            (spike_counts(model, test_images).argmax(dim=1) == test_labels).float().mean().item()
        )
    print(f"test accuracy {accuracy:.2%} on {len(test_images)} images")
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), folder / "digits_srif.pt")
    (folder / "digits_srif.toml").write_text(DESCRIPTION, "utf-8")
    print(
        f"saved {folder / 'digits_srif.pt'}; judge it with: refsim validate "
        f"{folder / 'digits_srif.toml'} --data digits --steps {STEPS}"
    )


def _tensors(part: str) -> tuple[Tensor, Tensor]:
    data = digits(part)
    return torch.tensor(data.values, dtype=torch.float32), torch.tensor(data.labels)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("trained"))
