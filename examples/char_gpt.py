"""A small character-level GPT on the text of Python's own manual (``pydoc_data.topics``).

Runs under PyTorch too: change the import to ``import torch``.
"""

import argparse
import math
import time

import frankentorch as torch

nn, F = torch.nn, torch.nn.functional


class Block(nn.Module):
    """Attention and a multilayer perceptron, each after a layer norm and beside a residual."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def attend(self, x):
        b, t, c = x.shape
        q, k, v = (part.view(b, t, self.heads, c // self.heads).transpose(1, 2) for part in self.qkv(x).split(c, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.proj(y.transpose(1, 2).reshape(b, t, c))

    def forward(self, x):
        x = x + self.attend(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class CharGPT(nn.Module):
    """Token and position embeddings, blocks, a final norm, and logits over characters."""

    def __init__(self, vocabulary, context=64, width=96, heads=4, depth=3):
        super().__init__()
        self.context = context
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)

    def forward(self, ids):
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
        return self.head(self.norm(self.blocks(x)))


def corpus():
    """(ids of the whole text, characters): the text with rare characters dropped."""
    from pydoc_data.topics import topics

    text = "\n".join(topics[name] for name in sorted(topics))
    text = "".join(c for c in text if " " <= c <= "~" or c == "\n")
    characters = sorted(set(text))
    number = {c: i for i, c in enumerate(characters)}
    return torch.tensor([number[c] for c in text], dtype=torch.int64), characters


def setup(vocabulary, seed=0, **sizes):
    """The model and its optimizer from a seed."""
    torch.manual_seed(seed)
    model = CharGPT(vocabulary, **sizes)
    return model, torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)


def batch(ids, context, size):
    """`size` random stretches of text, and the same shifted by one."""
    starts = torch.randint(0, len(ids) - context - 1, (size, 1))
    window = starts + torch.arange(context + 1)
    picked = ids[window]
    return picked[:, :-1], picked[:, 1:]


def train_step(model, optimizer, x, y):
    """One step; returns the loss (a tensor)."""
    optimizer.zero_grad()
    logits = model(x)
    loss = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), y.reshape(-1))
    loss.backward()
    optimizer.step()
    return loss


def train(steps=200, size=16, seed=0, progress=None, **sizes):
    """Train; returns the model, the losses and the characters."""
    ids, characters = corpus()
    model, optimizer = setup(len(characters), seed, **sizes)
    losses = []
    for _ in range(steps):
        losses.append(train_step(model, optimizer, *batch(ids, model.context, size)).item())
        if progress:
            progress(losses[-1])
    return model, losses, characters


def write(model, characters, prompt, length):
    """Continue a prompt, one sampled character at a time."""
    number = {c: i for i, c in enumerate(characters)}
    ids = [number[c] for c in prompt]
    model.eval()
    with torch.no_grad():
        for _ in range(length):
            logits = model(torch.tensor([ids[-model.context:]]))[0, -1]
            ids.append(torch.multinomial(F.softmax(logits / 0.8, dim=-1), 1).item())
    return "".join(characters[i] for i in ids)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--sample", type=int, default=120)
    args = parser.parse_args()
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    began = time.perf_counter()
    with Progress(TextColumn("training"), BarColumn(), TextColumn("{task.completed}/{task.total} loss {task.fields[loss]:.4f}"),
                  TimeRemainingColumn()) as bar:
        task = bar.add_task("train", total=args.steps, loss=float("nan"))
        model, losses, characters = train(args.steps, progress=lambda v: bar.update(task, advance=1, loss=v))
    count = sum(p.numel() for p in model.parameters())
    print(f"character GPT, {count:,} parameters: loss {losses[0]:.3f} -> {losses[-1]:.3f} (uniform: {math.log(len(characters)):.3f}) "
          f"in {len(losses)} steps, {time.perf_counter() - began:.1f} s")
    print(write(model, characters, "The ", args.sample))
    if torch.__name__ == "frankentorch":
        from frankentorch.runtime.report import summary

        print(summary())


if __name__ == "__main__":
    main()
