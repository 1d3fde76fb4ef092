"""The workloads of bench.lua in PyTorch, printed the same way; see there. Run by scripts/bench."""

import sys
import time
import warnings

warnings.simplefilter("ignore", FutureWarning)  # of PyTorch's own modules, at each start

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


def freezing(make, count, first, last):
    def prepare():
        net, loss_fn, x, y = make()
        layers = [layer for layer in net if list(layer.parameters())]
        assert len(layers) == count
        for layer in layers[first - 1:last]:
            layer.requires_grad_(False)
        return training(net, torch.optim.SGD(net.parameters(), lr=0.01), loss_fn, x, y)

    return prepare


def deep():
    layers = [layer for _ in range(9) for layer in (nn.Linear(512, 512), nn.ReLU())][:-1]
    return nn.Sequential(*layers), nn.MSELoss(), torch.randn(128, 512), torch.randn(128, 512)


def lenet():
    net = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))
    return net, nn.CrossEntropyLoss(), torch.randn(64, 1, 28, 28), torch.randint(0, 10, (64,))


def w3_parts():
    net, x, y = classifier(784, 128, 10, 64)
    return net, nn.CrossEntropyLoss(), x, y


def gradients_of_each():
    net = regression()[0]
    params = {name: p.detach() for name, p in net.named_parameters()}
    x = torch.linspace(-1, 1, 256).unsqueeze(1)
    y = x.pow(2)

    def loss(ps, one, target):
        return F.mse_loss(torch.func.functional_call(net, ps, (one,)), target)

    gradients = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))
    return lambda: gradients(params, x, y)


def hessian():
    x, y, p = torch.randn(20, 3), torch.randn(20, 2), torch.randn(50)

    def mlp(p):
        h = torch.tanh(F.linear(x, p[:24].view(8, 3), p[24:32]))
        return F.mse_loss(F.linear(h, p[32:48].view(2, 8), p[48:50]), y)

    second = torch.func.hessian(mlp)
    return lambda: second(p)


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
    "W3f": freezing(w3_parts, 2, 1, 1),
    "F9": freezing(deep, 9, 1, 0),
    "F9b4": freezing(deep, 9, 1, 4),
    "F9b8": freezing(deep, 9, 1, 8),
    "F9t4": freezing(deep, 9, 6, 9),
    "F9t8": freezing(deep, 9, 2, 9),
    "Fcnn": freezing(lenet, 5, 1, 0),
    "Fcnnf": freezing(lenet, 5, 1, 2),
    "Vgrad": gradients_of_each,
    "Vhess": hessian,
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
