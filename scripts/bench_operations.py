"""Times PyTorch's operations for scripts/bench --operations: `bench_operations.py ROWS N SECONDS`.

ROWS is a file with a name, a tab and an expression in each line; N the number of elements. Prints a name, a tab and the seconds that
a call took in the best block. The variables are those of lib/bench_operations.lua.
"""
import functools
import sys
import time

import torch
import torch.nn.functional as F


@functools.cache
def optimizer(name):
    p = torch.randn(10_000_000).requires_grad_()
    p.grad = torch.randn(10_000_000)
    return getattr(torch.optim, name)([p], lr=1e-9, fused=True)


def variables(n):
    torch.manual_seed(1)
    count, side = n // 100, int(n ** 0.5)
    v = {"torch": torch, "F": F, "n": n, "optimizer": optimizer}
    x, y = torch.randn(n), torch.randn(n)
    r = x.view(count, 100)
    w = torch.randn(64, 64) + torch.eye(64) * 8
    p = w.mm(w.t())
    t = torch.randn(10)
    o, f = torch.randn(max(n // 10000, 1), 16, 25, 25), torch.randn(16, 16, 3, 3)
    a, b = torch.randn(256, 256), torch.randn(256, 256)
    v.update(
        x=x, y=y, z=torch.rand(n) + 0.5, d=x.double(), e=y.double(), k=torch.randint(0, 1000, (n,)), l=torch.randint(1, 100, (n,)),
        m=x > 0, i=torch.randint(0, n, (n,)), v=torch.randn(1000).sort()[0], r=r, s=y.view(count, 100),
        ri=torch.randint(0, 100, (count, 100)), rr=torch.randint(0, count, (count,)), g=x.clone().requires_grad_(),
        h=r.clone().requires_grad_(), q=torch.randn(side, side), a=a, b=b, c=torch.randn(64, 32, 32), ad=a.double(), bd=b.double(),
        ak=torch.randint(0, 100, (128, 128)), bk=torch.randint(0, 100, (128, 128)), w=w, p=p, p2=p[:32, :32].contiguous(), t=t,
        u=t.clone().requires_grad_(), o=o, f=f, p3=o.clone().requires_grad_(), f3=f.clone().requires_grad_(),
        lw=torch.randn(100).requires_grad_())
    return v


def timed(function, budget):
    function()
    count, best = 1, float("inf")
    while True:
        start = time.perf_counter()
        for _ in range(count):
            function()
        if time.perf_counter() - start > budget / 20:
            break
        count *= 2
    stop = time.perf_counter() + budget
    while True:
        start = time.perf_counter()
        for _ in range(count):
            function()
        best = min(best, (time.perf_counter() - start) / count)
        if time.perf_counter() > stop:
            return best


def main():
    rows, n, budget = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    v = variables(n)
    for line in open(rows, encoding="utf-8"):
        name, expression = line.rstrip("\n").split("\t")
        function = eval("lambda: " + expression, v)
        print(f"{name}\t{timed(function, budget):.9g}", flush=True)
        for leaf in "g", "h", "p3", "f3", "lw":
            v[leaf].grad = None


main()
