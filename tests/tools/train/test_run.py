"""A training that is stopped goes on where it was."""

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is for training only; make models installs it")

from tools.train import together  # noqa: E402
from tools.train.run import Run, exported  # noqa: E402


def loss(network):
    return (network(torch.ones(4, 3)) - 2).pow(2).mean()


def test_a_run_resumes_with_weights_mean_and_step(tmp_path):
    """The second run starts from the very numbers that the first one saved."""
    first = Run(torch.nn.Linear(3, 1), tmp_path / "one.pt")
    for _ in range(5):
        first.pace(0.1, steps=500, done=0.1)
        first.take_step(loss(first.network))
    first.save()
    second = Run(torch.nn.Linear(3, 1), tmp_path / "one.pt")
    assert second.step == 5
    assert torch.equal(second.network.weight, first.network.weight)
    assert torch.equal(second.mean.weight, first.mean.weight)
    assert not torch.equal(second.mean.weight, second.network.weight)


def test_training_lowers_the_loss_and_the_mean_follows(tmp_path):
    """Steps go downhill, and the running mean comes after the weights."""
    run = Run(torch.nn.Linear(3, 1), tmp_path / "one.pt")
    before = loss(run.network).item()
    for step in range(100):
        run.pace(0.05, steps=step, done=0.0)
        run.take_step(loss(run.network))
    assert loss(run.network).item() < before / 2
    assert loss(run.mean).item() < before


def test_the_rate_rises_and_falls(tmp_path):
    """Warm-up first, almost nothing at the end."""
    run = Run(torch.nn.Linear(3, 1), tmp_path / "one.pt")

    def rate(steps, done):
        run.pace(1.0, steps=steps, done=done)
        return run.optimiser.param_groups[0]["lr"]

    assert rate(0, 0.0) < 0.01 < rate(199, 0.01) <= 1.0
    assert rate(5000, 0.999) <= 0.011


def test_what_is_exported_is_the_running_mean(tmp_path):
    """Not the newest weights, which are rougher."""
    run = Run(torch.nn.Linear(3, 1), tmp_path / "one.pt")
    run.pace(0.1, steps=500, done=0.0)
    run.take_step(loss(run.network))
    run.save()
    assert torch.equal(exported(torch.nn.Linear(3, 1), tmp_path / "one.pt").weight, run.mean.weight)


def average_of_two(rank, file, answers):
    """What one of two processes has after averaging."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    weight, bias = torch.full((2, 2), float(rank)), torch.tensor([10.0 * rank])
    together.average([weight, bias])
    answers.put((rank, weight.unique().tolist(), bias.item(), together.agreed(rank / 2), together.rank()))
    torch.distributed.destroy_process_group()


def test_processes_that_train_together_hold_the_mean_of_their_gradients(tmp_path):
    """Both end with the same numbers and agree on how much of the time is over."""
    context = torch.multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    torch.multiprocessing.spawn(average_of_two, (str(tmp_path / "meeting"), answers), nprocs=2)
    assert sorted(answers.get() for _ in range(2)) == [(0, [0.5], 5.0, 0.25, 0), (1, [0.5], 5.0, 0.25, 1)]


def test_a_process_on_its_own_keeps_its_numbers():
    """Nothing is averaged where nobody else is."""
    weight = torch.ones(3)
    together.average([weight])
    assert weight.tolist() == [1, 1, 1]
    assert (together.agreed(0.3), together.rank()) == (0.3, 0)
