"""Less memory for the same step, how much a step takes, and the largest batch that fits."""

from __future__ import annotations

import platform
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from conftest import make_source
from torch import Tensor

from benchmarks import counting
from colorlib import devices, memory
from colorlib.blocks import conv_block
from colorlib.errors import RunError
from colorlib.recipes import Recipe, build_generator
from colorlib.steps import Networks
from colorlib.training import Trainer

CPU = torch.device("cpu")
# What sees one image at a time: then it does not matter which images share a batch.
SEPARATE = {"dropout": 0.0, "norm": "layer", "g_norm": "instance"}
WASSERSTEIN = {"adversarial": "wasserstein", "n_critic": 2, "d_loss_weight": 1.0, "lambda_l1": 1.0}
PENALTY = {**WASSERSTEIN, "lambda_gp": 10.0, "tone": 0.5, "ema_decay": 0.9}
CLIP = {**WASSERSTEIN, "clip": 0.01, "optimizer": "rmsprop"}


def batches(n: int, size: int = 5) -> list[Tensor]:
    return [make_source(n=size, size=16, seed=k).images(range(size)) for k in range(n)]


def gradients(networks: Networks) -> dict[str, Tensor]:
    modules = {"g": networks.generator, "d": networks.d_loss}
    return {
        f"{name}.{key}": parameter.grad
        for name, module in modules.items()
        if module is not None
        for key, parameter in module.named_parameters()
        if parameter.grad is not None  # D's, before it joins
    }


def assert_close(mine: dict[str, Tensor], theirs: dict[str, Tensor], tolerance: float = 1e-3) -> None:
    assert mine.keys() == theirs.keys()
    scale = max(tensor.norm() for tensor in theirs.values())
    for name, tensor in mine.items():
        assert (tensor - theirs[name]).norm() <= tolerance * (theirs[name].norm() + 1e-3 * scale), name


# --- a batch in parts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{"adversarial": "none"}, {"pretrain_steps": 1}, {}, PENALTY, CLIP])
def test_a_batch_in_parts_gives_the_gradients_of_the_whole(recipe: Recipe, changes: dict) -> None:
    """Adam would hide a missing division, so gradients are compared. Five images: the parts are not equal."""
    recipe = recipe.replace(batch_size=5, **(SEPARATE | changes))
    whole, parts = Networks(recipe, 0, CPU), Networks(recipe.replace(accumulate=2), 0, CPU)
    for step in range(2):
        data = batches(recipe.n_critic)
        values = [networks.train_step(data, step, diagnose=True) for networks in (whole, parts)]
        assert_close(gradients(parts), gradients(whole), 0.02 if step else 1e-3)  # rounding, magnified by Adam
        for name in values[0].keys() - {"adversarial_share"}:  # a ratio: its mean over parts is not that of the batch
            torch.testing.assert_close(values[1][name], values[0][name], rtol=0.01, atol=1e-4)
        assert values[0].keys() == values[1].keys()
    if recipe.ema_decay:
        assert_close(dict(parts.average.named_parameters()), dict(whole.average.named_parameters()))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_scaled_losses_change_nothing(recipe: Recipe, accumulate: int) -> None:
    """As in fp16 on a T4, where a critic's several updates before one of G once ended the run."""
    recipe = recipe.replace(accumulate=accumulate, **(SEPARATE | PENALTY))
    plain, scaled = Networks(recipe, 0, CPU), Networks(recipe, 0, CPU)
    scaled._scaler = torch.amp.GradScaler("cpu", enabled=True)
    for networks in (plain, scaled):
        networks.train_step(batches(2, 4), 0)
    assert_close(gradients(scaled), gradients(plain))


def test_parts_change_the_statistics_once_each(recipe: Recipe) -> None:
    """Each image goes through G twice, for D's update and for G's: batch norm counts it once."""
    networks = Networks(recipe.replace(accumulate=2), 0, CPU)
    networks.train_step(batches(1, 4), 0)
    counters = [b for name, b in networks.generator.named_buffers() if name.endswith("num_batches_tracked")]
    assert counters and all(counter == 2 for counter in counters)


def test_after_an_error_the_discriminator_learns_again(recipe: Recipe) -> None:
    networks = Networks(recipe, 0, CPU)
    networks.generator.register_full_backward_pre_hook(lambda *_: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(MemoryError):
        networks.train_step(batches(1), 0)
    assert all(parameter.requires_grad for parameter in networks.d_loss.parameters())


# --- computing maps again ------------------------------------------------------------------------------------


def one_pass(recipe: Recipe) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Gradients of G after a pass with dropout, and its buffers."""
    generator = build_generator(recipe, torch.Generator().manual_seed(0)).train()
    L = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.random.fork_rng():
        torch.manual_seed(2)
        generator(L).square().mean().backward()
    return {name: p.grad for name, p in generator.named_parameters()}, dict(generator.named_buffers())


@pytest.mark.slow
@pytest.mark.parametrize("generator", ["unet", "resunet", "backbone"])
def test_maps_computed_again_give_the_same_gradients_and_statistics(recipe: Recipe, generator: str) -> None:
    recipe = recipe.replace(generator=generator, dropout=0.5)
    for mine, theirs in zip(one_pass(recipe.replace(checkpointing=True)), one_pass(recipe), strict=True):
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_checkpointing_keeps_half_of_a_generators_maps(recipe: Recipe) -> None:
    recipe = recipe.replace(adversarial="none", size=32, width=16)
    kept = [counting.measure(recipe.replace(checkpointing=on), CPU).image for on in (False, True)]
    assert kept[1] < 0.6 * kept[0]


def test_without_a_gradient_nothing_is_computed_again(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = build_generator(recipe.replace(checkpointing=True))
    monkeypatch.setattr("colorlib.blocks.checkpoint", lambda *_, **__: pytest.fail("nothing will come back"))
    generator.eval()(torch.zeros(1, 1, 16, 16))
    with torch.no_grad():
        generator.train()(torch.zeros(2, 1, 16, 16))


# --- counting bytes ------------------------------------------------------------------------------------------


def test_bytes_are_counted_while_they_are_kept() -> None:
    """exp keeps its result, a product both factors, here one and the same; what is kept twice takes its place once."""
    count = counting.SavedBytes(set())
    x = torch.ones(100, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(count.keep, lambda kept: kept.tensor):
        y = x.exp()
        z = y * y
        assert count.now == 400
        z.exp().sum().backward()
    assert (count.most, count.now) == (800, 0)
    assert torch.allclose(x.grad, 2 * torch.exp(torch.tensor(2.0)) * torch.exp(torch.exp(torch.tensor(2.0))))


def test_a_convolution_keeps_what_goes_in(recipe: Recipe) -> None:
    count = counting.SavedBytes(set())
    layer = conv_block(3, 5, kernel=1, norm="none")
    ignored = {p.untyped_storage().data_ptr() for p in layer.parameters()}
    count.ignored |= ignored
    with torch.autograd.graph.saved_tensors_hooks(count.keep, lambda kept: kept.tensor):
        layer(torch.ones(2, 3, 8, 8))
    assert count.most == 2 * 3 * 8 * 8 * 4


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_memory_is_a_constant_and_so_much_an_image(recipe: Recipe, optimizer: str) -> None:
    recipe = recipe.replace(optimizer=optimizer)
    networks, need = Networks(recipe, 0, CPU), counting.measure(recipe, CPU)
    kept = counting.kept_for_backward(networks, 4)
    assert need.of(4) == counting.held_by(networks) + kept
    parameters = sum(p.nbytes for m in (networks.generator, networks.d_loss) for p in m.parameters())
    copies = {"adam": 4, "rmsprop": 3}[optimizer]  # weight, gradient, one or two averages
    buffers_and_counters = counting.held_by(networks) - copies * parameters
    assert 0 < buffers_and_counters < 0.1 * parameters


# --- the largest batch ---------------------------------------------------------------------------------------


def test_on_a_cpu_no_batch_is_chosen_for_the_user(recipe: Recipe) -> None:
    with pytest.raises(ValueError, match="choose --batch-size yourself"):
        memory.automatic_batch(recipe, CPU)


def test_where_not_even_one_image_fits_there_is_no_batch(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "largest_batch", lambda *_, **__: 0)
    with pytest.raises(RunError, match="no batch fits the memory of cpu at 16 px"):
        memory.automatic_batch(recipe, CPU)


@pytest.mark.slow
def test_on_a_gpu_steps_are_tried_until_memory_is_full(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU in play: it holds eight images, and then five."""
    tried: list[int] = []
    step = Networks.train_step

    def full(networks: Networks, batches: list[Tensor], *args: object, **options: object) -> object:
        tried.append(len(batches[0]))
        if tried[-1] > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return step(networks, batches, *args, **options)

    monkeypatch.setattr(Networks, "train_step", full)
    monkeypatch.setattr(memory, "free_memory", lambda device: 1000)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 100 * tried[-1])
    assert memory._try_batches(recipe, CPU, memory.LARGEST) == 8
    assert memory._try_batches(recipe, CPU, most=3) == 2
    assert tried[:6] == [1, 1, 2, 4, 8, 16]  # the first makes the optimizers' averages
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 180 * tried[-1])
    assert memory._try_batches(recipe, CPU, most=memory.LARGEST) == 4


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_true_gpu_the_batch_that_is_found_fits() -> None:
    recipe = Recipe(size=128, width=16, d_width=16, steps=2, dropout=0.0)
    torch.cuda.set_per_process_memory_fraction(1e9 / torch.cuda.mem_get_info()[1])
    try:
        batch = memory.largest_batch(recipe, "cuda")
        assert 4 <= batch < memory.LARGEST
        source = make_source(n=8 * batch, size=128)
        list(Trainer(recipe.replace(batch_size=batch // 2), source, device="cuda").run())
        with pytest.raises(
            RunError, match=r"out of memory on cuda with batches of \d+ at 128 px; the largest that fits"
        ):
            list(Trainer(recipe.replace(batch_size=8 * batch), source, device="cuda").run())
        in_parts = recipe.replace(batch_size=8 * batch, accumulate=16, checkpointing=True)
        list(Trainer(in_parts, source, device="cuda").run())
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


# --- what is said when memory is full ------------------------------------------------------------------------

FULL = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory"),
]


@pytest.mark.parametrize("error", FULL, ids=lambda error: type(error).__name__)
def test_a_full_memory_names_the_largest_batch_that_fits(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch, error: Exception, tmp_path: Path
) -> None:
    step = Networks.train_step

    def full(networks: Networks, batches: list[Tensor], *args: object, **options: object) -> object:
        if len(batches[0]) > 2:
            raise error
        return step(networks, batches, *args, **options)

    monkeypatch.setattr(Networks, "train_step", full)
    with pytest.raises(RunError, match=r"try a smaller batch_size, a larger accumulate .*, or checkpointing$"):
        list(Trainer(recipe.replace(batch_size=8), make_source(), device="cpu").run())
    monkeypatch.setattr(memory, "largest_batch", lambda *_, **__: 2)
    with pytest.raises(RunError) as said:
        list(Trainer(recipe.replace(batch_size=8), make_source(), device="cpu").run())
    assert str(said.value) == (
        "out of memory on cpu with batches of 8 at 16 px; the largest that fits is 2: try batch_size 2 (on the command "
        "line, auto finds it), accumulate 4 (the same batch in parts), or checkpointing"
    )
    list(Trainer(recipe.replace(batch_size=2, steps=1), make_source(), device="cpu").run())
    monkeypatch.setattr(memory, "largest_batch", lambda *_, **__: 0)
    with pytest.raises(RunError, match=r"no smaller one fits either: try a smaller size or width$"):
        list(Trainer(recipe.replace(checkpointing=True), make_source(), device="cpu").run())


def test_other_errors_are_not_taken_for_a_full_memory(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **options: object) -> None:
        raise RuntimeError("expected scalar type Float")

    monkeypatch.setattr(Networks, "train_step", broken)
    with pytest.raises(RuntimeError, match="scalar type"):
        list(Trainer(recipe, make_source(), device="cpu").run())


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc can be told to keep memory")
def test_memory_is_kept_while_a_run_goes_on(recipe: Recipe) -> None:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:  # whose heap no other test has used
        before, during, after = pool.submit(faults_around_a_run, recipe.replace(steps=2)).result()
    assert during < before / 10 and after > before / 2


def faults_around_a_run(recipe: Recipe) -> tuple[int, int, int]:
    """Page faults for a block before a run, within it, and after it, when the same was taken just before."""
    run = Trainer(recipe, make_source(n=2, size=recipe.size), device="cpu").run()
    counts = []
    for go_on in (lambda: None, lambda: next(run), lambda: list(run)):
        go_on()
        page_faults()
        counts.append(page_faults())
    return counts[0], counts[1], counts[2]


def page_faults() -> int:
    """How often the system had to find a page for a block of 64 MiB, taken and freed."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.zeros(2**24).add_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_on_a_gpu_the_cpus_memory_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices.ctypes, "CDLL", lambda name: pytest.fail("asked for"))
    with devices.keep_freed_memory(torch.device("cuda")):
        pass


def test_where_malloc_cannot_be_told_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices.ctypes, "CDLL", lambda name: object())  # musl
    with devices.keep_freed_memory(CPU):
        pass
