"""A convolutional network on scikit-learn's digits: 1,797 real 8x8 images, 97 % and better in seconds.

Runs under PyTorch too: change the import to ``import torch``.
"""

import argparse
import time
from pathlib import Path

import frankentorch as torch

nn, F = torch.nn, torch.nn.functional


class DigitsCNN(nn.Module):
    """Two convolutions with batch norm, pooling, dropout and a linear classifier."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.dropout = nn.Dropout(0.25)
        self.classify = nn.Linear(64 * 2 * 2, 10)

    def forward(self, x):
        return self.classify(self.dropout(self.features(x).flatten(1)))


def data():
    """(train images, train labels, test images, test labels): every fifth image is a test image."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16.0
    labels = torch.tensor(digits.target, dtype=torch.int64)
    test = torch.arange(len(labels)) % 5 == 0
    return images[~test], labels[~test], images[test], labels[test]


def setup(seed=0):
    """The model and its optimizer from a seed."""
    torch.manual_seed(seed)
    model = DigitsCNN()
    return model, torch.optim.Adam(model.parameters(), lr=5e-4)


def train_step(model, optimizer, images, labels):
    """One step; returns the loss (a tensor)."""
    optimizer.zero_grad()
    loss = F.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.step()
    return loss


def accuracy(model, images, labels):
    model.eval()
    with torch.no_grad():
        right = (model(images).argmax(1) == labels).float().mean().item()
    model.train()
    return right


def train(epochs=12, batch=64, seed=0, progress=None):
    """Train; returns the model, the losses and the test accuracy."""
    x, y, tx, ty = data()
    model, optimizer = setup(seed)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=batch, shuffle=True)
    losses = []
    for _ in range(epochs):
        for images, labels in loader:
            losses.append(train_step(model, optimizer, images, labels).item())
            if progress:
                progress(losses[-1])
    return model, losses, accuracy(model, tx, ty)


def save_curve(losses, path):
    """The loss curve as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(7, 3.5))
    ax.plot(losses, lw=1)
    ax.set(xlabel="step", ylabel="cross-entropy", title="digits CNN", yscale="log")
    fig.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("out/digits_cnn.png"))
    args = parser.parse_args()
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    began = time.perf_counter()
    with Progress(TextColumn("training"), BarColumn(), TextColumn("{task.completed}/{task.total} loss {task.fields[loss]:.4f}"),
                  TimeRemainingColumn()) as bar:
        task = bar.add_task("train", total=args.epochs * 23, loss=float("nan"))
        model, losses, right = train(args.epochs, progress=lambda v: bar.update(task, advance=1, loss=v))
    save_curve(losses, args.out)
    count = sum(p.numel() for p in model.parameters())
    print(f"digits CNN, {count:,} parameters: test accuracy {right:.2%} after {len(losses)} steps in {time.perf_counter() - began:.1f} s")
    print(f"loss curve: {args.out}")
    if torch.__name__ == "frankentorch":
        from frankentorch.runtime.report import summary

        print(summary())
    if right < 0.97:
        raise SystemExit("test accuracy is below 97 %")


if __name__ == "__main__":
    main()
