"""The smallest training loop: a 2-16-1 network learns the exclusive or of two noisy bits.

Runs under PyTorch too: change the import to ``import torch``.
"""

import frankentorch as torch

nn, F = torch.nn, torch.nn.functional


def setup(seed=0):
    """The model and its optimizer from a seed."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
    return model, torch.optim.SGD(model.parameters(), lr=0.5)


def data(n=256):
    """Noisy bits and their exclusive or."""
    bits = torch.randint(0, 2, (n, 2)).float()
    return bits + 0.1 * torch.randn(n, 2), (bits[:, :1] != bits[:, 1:]).float()


def train_step(model, optimizer, x, y):
    """One step; returns the loss (a tensor)."""
    optimizer.zero_grad()
    loss = F.binary_cross_entropy_with_logits(model(x), y)
    loss.backward()
    optimizer.step()
    return loss


def train(steps=400, seed=0):
    """Train; returns the model, the losses and the accuracy."""
    model, optimizer = setup(seed)
    x, y = data()
    losses = [train_step(model, optimizer, x, y).item() for _ in range(steps)]
    with torch.no_grad():
        right = ((model(x) > 0).float() == y).float().mean().item()
    return model, losses, right


def main():
    model, losses, right = train()
    print(model)
    print(f"loss {losses[0]:.4f} -> {losses[-1]:.4f}, accuracy {right:.2%}")
    if torch.__name__ == "frankentorch":
        from frankentorch.runtime.report import summary

        print(summary())


if __name__ == "__main__":
    main()
