"""Train a 784-256-10 network of SRIF neurons on real MNIST digits, and judge it with refsim.

    python examples/train_mnist.py MNIST_FOLDER [FOLDER]

MNIST_FOLDER holds t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz: the first 8,000 images
train, the last 2,000 test. The image is held as a current for 12 steps. Seeded; some minutes on two
cores. Writes the weights, their description and the 2,000 test images into FOLDER, then prints the
verdict.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import refsim
from refsim.cases.case import standard_claims, validate_on
from refsim.cases.network import make_plan
from refsim.networks.data import read_data
from refsim.pytorch import SRIF, reset

STEPS, EPOCHS, BATCH, SEED, TRAIN = 12, 8, 64, 1, 8000

DESCRIPTION = """\
title = "A 784-256-10 SRIF network trained on MNIST by examples/train_mnist.py"
dt = "1 ms"
weights = "mnist_srif.pt"

[[layer]]
linear = "0"
neuron = "srif"

[[layer]]
linear = "2"
neuron = "srif"
"""


def network() -> nn.Sequential:
    """Return the network: each Linear feeds a layer of SRIF neurons.

    The arctangent reaches far below threshold: with a rectangle an output neuron that falls silent
    stays silent.
    """
    return nn.Sequential(
        nn.Linear(784, 256), SRIF("arctangent"), nn.Linear(256, 10), SRIF("arctangent")
    )


def spike_counts(model: nn.Sequential, images: Tensor) -> Tensor:
    """Run the image for all steps from rest; return output spikes per class, (batch, 10).

    The image is held, so the first Linear is computed once and its current fed in at every step.
    """
    reset(model)
    current = model[0](images)
    return torch.stack([model[1:](current) for _ in range(STEPS)]).sum(dim=0)


def train(model: nn.Sequential, images: Tensor, labels: Tensor) -> None:
    """Train on cross-entropy of the spike counts."""
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS)
    for epoch in range(EPOCHS):
        total = 0.0
        for batch in torch.randperm(len(images)).split(BATCH):
            loss = nn.functional.cross_entropy(spike_counts(model, images[batch]), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item() * len(batch)
        schedule.step()
        print(f"epoch {epoch + 1}: loss {total / len(images):.3f}", flush=True)


def main(mnist: Path, folder: Path) -> refsim.Report:
    """Train, save, and validate on the 2,000 test images."""
    torch.manual_seed(SEED)
    data = read_data(
        mnist / "t10k-images-idx3-ubyte.gz", mnist / "t10k-labels-idx1-ubyte.gz", scale=255
    )
    images, labels = torch.tensor(data.values, dtype=torch.float32), torch.tensor(data.labels)
    model = network()
    train(model, images[:TRAIN], labels[:TRAIN])
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), folder / "mnist_srif.pt")
    (folder / "mnist_srif.toml").write_text(DESCRIPTION, "utf-8")
    np.savez_compressed(
        folder / "mnist_test.npz", x=data.values[TRAIN:].astype(np.float32), y=data.labels[TRAIN:]
    )

    trained = refsim.bridge.load(folder / "mnist_srif.pt")
    test = {"source": folder / "mnist_test.npz", "steps": STEPS}
    report = refsim.Report(
        validate_on(
            trained,
            test,
            standard_claims(),
            "MNIST, 2,000 test images",
            make_plan(["torch float64", "torch float32"], []),
        )
    )
    print(report)
    return report


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else Path("trained"))
