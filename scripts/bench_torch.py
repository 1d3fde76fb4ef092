"""The workloads of bench.lua in PyTorch, printed the same way; see there. Run by scripts/bench."""

import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


def training(net, optimizer, loss_fn, x, y):
    def step():
        loss = loss_fn(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def regression():
    x = torch.linspace(-1, 1, 100).unsqueeze(1)
    y = x.pow(2) + 0.2 * torch.rand(100, 1)
    return nn.Sequential(nn.Linear(1, 10), nn.ReLU(), nn.Linear(10, 1)), x, y


def w1():
    net, x, y = regression()
    return training(net, torch.optim.SGD(net.parameters(), lr=0.2), nn.MSELoss(), x, y)


def w1f():
    net, x, y = regression()
    for p in net[0].parameters():
        p.requires_grad = False
    return training(net, torch.optim.SGD(net.parameters(), lr=0.2), nn.MSELoss(), x, y)


def w2():
    a, b, d = (torch.tensor(v, requires_grad=True) for v in (2.0, 3.0, 4.0))

    def step():
        e = (a * b) * d
        e.backward()

    return step


def w2c():
    a, b = torch.tensor(1.0, requires_grad=True), torch.tensor(1.0)

    def step():
        y = a
        for _ in range(100):
            y = y * b
        y.backward()

    return step


def classifier(features, hidden, classes, batch):
    net = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, classes))
    return net, torch.randn(batch, features), torch.randint(0, classes, (batch,))


def w3():
    net, x, y = classifier(784, 128, 10, 64)
    return training(net, torch.optim.SGD(net.parameters(), lr=0.01), nn.CrossEntropyLoss(), x, y)


def w3a():
    net, x, y = classifier(784, 128, 10, 64)
    return training(net, torch.optim.Adam(net.parameters(), lr=0.001), nn.CrossEntropyLoss(), x, y)


def w4():
    net, x, y = classifier(1024, 1024, 1000, 256)
    return training(net, torch.optim.SGD(net.parameters(), lr=0.01), nn.CrossEntropyLoss(), x, y)


def e1():
    x, y = torch.ones(10, requires_grad=True), torch.ones(10)

    def step():
        z = x + y  # noqa: F841

    return step


def million(f):
    def prepare():
        x, y = torch.rand(1000, 1000), torch.rand(1000, 1000)

        def step():
            z = f(x, y)  # noqa: F841

        return step

    return prepare


def layer(net, x, optimizer=None):
    def step():
        net.zero_grad()
        y = net(x)
        (y[0] if isinstance(y, tuple) else y).sum().backward()
        if optimizer:
            optimizer.step()

    return step


def cnn():
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 49, 10))
    return training(net, torch.optim.Adam(net.parameters()), nn.CrossEntropyLoss(), torch.randn(64, 1, 28, 28), torch.randint(0, 10, (64,)))


def recurrent(kind):
    def prepare():
        net = kind(64, 128)
        return layer(net, torch.randn(64, 32, 64), torch.optim.SGD(net.parameters(), lr=0.01))

    return prepare


def block():
    net = nn.TransformerEncoderLayer(256, 4, 1024, batch_first=True)
    return layer(net, torch.randn(8, 128, 256), torch.optim.Adam(net.parameters()))


def adam():
    net = nn.Linear(2500, 4000)
    for p in net.parameters():
        p.grad = torch.randn_like(p)
    return torch.optim.Adam(net.parameters(), fused=True).step


WORKLOADS = {
    "W1": w1,
    "W1f": w1f,
    "W2": w2,
    "W2c": w2c,
    "W3": w3,
    "W3a": w3a,
    "W4": w4,
    "E1": e1,
    "E2add": million(lambda x, y: x + y),
    "E2exp": million(lambda x, y: x.exp()),
    "E2tanh": million(lambda x, y: x.tanh()),
    "Lcnn": cnn,
    "Lrnn": recurrent(nn.RNN),
    "Llstm": recurrent(nn.LSTM),
    "Lgru": recurrent(nn.GRU),
    "Lblock": block,
    "Lbn": lambda: layer(nn.BatchNorm2d(64), torch.randn(32, 64, 28, 28, requires_grad=True)),
    "Lln": lambda: layer(nn.LayerNorm(512), torch.randn(1024, 512, requires_grad=True)),
    "Ladam": adam,
    "E2softmax": million(lambda x, y: F.softmax(x, 1)),
}


def measure(step, seconds):
    def block(count):
        started = time.perf_counter()
        for _ in range(count):
            step()
        return (time.perf_counter() - started) / count

    count, duration = 1, block(1)
    while duration * count < seconds / 100:
        count *= 2
        duration = block(count)
    times, ends = [], time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() <= ends:
        times.append(block(count))
    times.sort()
    return times[0], times[(len(times) - 1) // 2]


def main():
    if sys.argv[1] == "--threads":
        print(torch.get_num_threads(), torch.__version__)
        return
    seconds = float(sys.argv[1])
    for name in sys.argv[2:]:
        torch.manual_seed(0)
        print("%s %.4g %.4g" % (name, *measure(WORKLOADS[name](), seconds)))


main()
