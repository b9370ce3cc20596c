# %% [markdown] tags=["title"]
# # 0. Start here
#
# {{badges}}
#
# At the end you will have coloured photographs with a small network, seen where it fails, and
# brought a training back to life that was cut off in the middle.

# %% [markdown]
# **You will learn**
#
# - what this course builds, and what its fourteen notebooks are about;
# - to ask the machine in front of you whether it is ready, and to read its answer;
# - how a trained network colours a photograph, and how far you may believe it;
# - what quick mode and full mode are;
# - why a session that dies costs you minutes and not the training.
#
# **You need** Python: functions, loops, a little NumPy. No deep learning yet.
#
# **Time**: quick mode about 30 s on two CPU cores. Full mode does the same here.

# %% tags=["setup"]
# {{setup}}

# %% tags=["config"]
from colorlib.course import configure

config = configure(seed=0)  # mode="quick" or mode="full" overrides what the machine suggests

# %% tags=["imports"]
import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from skimage import data

from colorlib import RECIPES, Colorizer, PatchGAN, Trainer, UNet, open_source, receptive_field
from colorlib.color import rgb_to_lab, split_lab, to_float
from colorlib.course.exercises import notebook_00 as exercises
from colorlib.cli.doctor import Check, doctor, format_checks
from colorlib.figures import PALETTE, grey_image, image_grid, show
from colorlib.metrics import ciede2000, delta_e_2000

# %% [markdown]
# ## What you will build
#
# A photograph without colour still says how light every pixel is. You will build a network that
# looks at this **lightness** and predicts the missing colour, the **chroma**.
#
# Two networks make it, and you will write both yourself, piece by piece:
#
# - the **generator**, a U-Net, turns a picture of lightness into a picture of chroma;
# - the **discriminator**, a PatchGAN, looks at small patches of a coloured picture and says whether
#   they look real.
#
# They are trained against each other. That is a **generative adversarial network** (GAN). It is
# called *conditional* here, for both are shown the lightness that the colours must fit to.

# %% [markdown]
# This is their size in the paper that the course follows, pix2pix (Isola, Zhu, Zhou and Efros
# 2017, "Image-to-Image Translation with Conditional Adversarial Networks"). A **parameter** is a
# number that training adjusts. The generator has 54 million of them, the discriminator 3 million,
# and each of the discriminator's scores looks at 70 by 70 pixels.

# %% tags=["nbval-check-output"]
generator, discriminator = UNet(), PatchGAN()
generator_size, discriminator_size = (
    sum(parameter.numel() for parameter in network.parameters())
    for network in (generator, discriminator)
)
patch = receptive_field(discriminator)
print(f"generator:     {generator_size:10,} parameters")
print(f"discriminator: {discriminator_size:10,} parameters, patches of {patch} x {patch} pixels")

# %% tags=["check"]
assert (generator_size, discriminator_size, patch) == (54_409_858, 2_765_633, 70)

# %% [markdown]
# On a laptop without a GPU you will not train networks of this size. The theory of this course is
# taught on small ones and on small drawn landscapes, where the right answer is known exactly, so
# that each claim can be checked. Large networks and real photographs come where a GPU is.
#
# Each number in the text is computed in the cell beside it. Checks that you do not see in the
# notebooks run whenever the course is tested, and fail if a number differs from what the text says.

# %% [markdown]
# ## Is this machine ready?
#
# `doctor` tries what the course needs instead of believing what the machine says of itself: it
# imports torch, runs a small convolution on the device, writes a file. Each line of its report is
# a mark, a name and what was found. Here is one from a laptop on which something is wrong:

# %% tags=["nbval-check-output"]
example = [
    Check("Python", True, "3.12.4 on Windows AMD64"),
    Check("torch", False, '2.4.1 is too old or too new; pip install "torch>=2.6"'),
    Check("export", None, "missing onnx"),
    Check("disk", True, "81.0 GB free"),
]
print(format_checks(example))

# %% [markdown]
# - `ok`: tried, and it works.
# - `FAIL`: it does not. The line ends with what to do about it, here after the semicolon.
# - `-`: for your information. Something optional is not there, or there was nothing to try. You
#   need not act on it.
#
# So on that laptop there is one thing to do, and it is not about `onnx`. On Colab and Kaggle do
# not install another torch: choose a newer runtime there, as the setup cell above will tell you.
#
# Now your own machine. A few seconds, for it also measures how fast the device is:

# %% tags=["machine"]
checks = doctor()
print(format_checks(checks))

# %% [markdown]
# If a line says `FAIL`, look at it before you go on. The report is not stored with the notebook,
# it is yours. In a terminal `colorlib doctor` prints the same.

# %%
to_do = [check.name for check in checks if check.ok is False]
print("ready" if not to_do else f"look at: {', '.join(to_do)}")

# %% [markdown]
# ## Colour photographs, before any theory
#
# The course ships with a small generator that is already trained. It is not the large one above,
# but one of 7 million parameters that sees a photograph at 96 pixels on its shorter side.

# %% tags=["nbval-check-output"]
colorizer = Colorizer.load(device="cpu")
weights = sum(parameter.numel() for parameter in colorizer.generator.parameters())
print(f"{weights / 1e6:.1f} million parameters, sees {colorizer.recipe.size} pixels")

# %% tags=["check"]
assert 7e6 < weights < 8e6 and colorizer.recipe.size == 96

# %% [markdown]
# It was trained on two CPU cores, for about five hours, on some 2,200 photographs: fruit and
# vegetables in shops (Klasson 2019, the GroceryStoreDataset), landscapes, plants and streets, and
# clothes. Large colorizers saw a million. Let us give it three photographs that it has never seen:
# a cat, a cup on a table, and a rocket at dusk.


# %%
def tensor(picture):
    """A picture as colorlib has its images: uint8, (1, 3, height, width)."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]


photographs = {"cat": data.chelsea(), "cup": data.coffee(), "rocket": data.rocket()}
truth = {name: tensor(photograph) for name, photograph in photographs.items()}
grey = {name: grey_image(split_lab(to_float(images))[0]) for name, images in truth.items()}
coloured = {
    name: tensor(colorizer.colorize(photograph)) for name, photograph in photographs.items()
}


# %% tags=["result"]
def thumbnails(pictures):
    """Small copies of equal size; without the two lowest bits the file stays small."""
    small = [
        Image.fromarray(picture[0].permute(1, 2, 0).numpy()).resize(
            (150, 100), Image.Resampling.LANCZOS
        )
        for picture in pictures.values()
    ]
    return torch.cat([tensor(picture) for picture in small]) // 4 * 4


columns = {
    "what it sees": thumbnails(grey),
    "what it makes of it": thumbnails(coloured),
    "the truth": thumbnails(truth),
}
show(
    image_grid(columns, rows=list(truth), cell=1.5),
    alt="Three photographs, each grey, coloured by the network, and true. The sky behind the "
    "rocket comes out in the blue that it has. The cat comes out in pale brown, a little "
    "green beside its nose. The red cup and its saucer stay brownish grey.",
)

# %% [markdown]
# The sky is right. The rest is paler than the truth, and where is the red of the cup? Do the
# numbers agree? **CIEDE2000** measures how different two colours look: 0 is the same, 1 is just
# visible, and 10 is plainly another colour. Notebook 01 explains it. A bare number says little, so
# compare it with doing nothing: leaving the photograph grey.

# %%
print("mean CIEDE2000 to the truth (less is better)")
error, error_of_grey = {}, {}
for name in truth:
    error[name] = ciede2000(coloured[name], truth[name]).item()
    error_of_grey[name] = ciede2000(grey[name], truth[name]).item()
    print(f"{name:<6}  coloured {error[name]:4.1f}   grey {error_of_grey[name]:4.1f}")

# %% tags=["check"]
assert all(error[name] < 0.9 * error_of_grey[name] for name in truth), "all are better than grey"
assert min(error, key=error.get) == "rocket" and error["rocket"] < 0.6 * error_of_grey["rocket"]
assert max(error, key=error.get) == "cup", "the cup is the furthest from the truth"

# %% [markdown]
# All three are better than grey, the rocket by far. Now look closer, at three patches of 16 by 16
# pixels, in the colour space **Lab**: a* runs from green (negative) to red (positive), b* from blue
# (negative) to yellow (positive).

# %%
patches = {"saucer": ("cup", 310, 420), "table": ("cup", 60, 480), "sky": ("rocket", 100, 160)}


def cut(images, row, column):
    """The patch around a pixel."""
    return images[..., row - 8 : row + 8, column - 8 : column + 8]


ab, patch_error, patch_error_of_grey = {}, {}, {}
for patch, (name, *place) in patches.items():
    true, guess, dull = (cut(images[name], *place) for images in (truth, coloured, grey))
    ab[patch] = [
        rgb_to_lab(to_float(one)).mean(dim=(0, 2, 3))[1:].tolist() for one in (true, guess)
    ]
    patch_error[patch] = ciede2000(guess, true).item()
    patch_error_of_grey[patch] = ciede2000(dull, true).item()
    for title, (a, b) in zip(("true", "coloured"), ab[patch]):
        print(f"{patch:<6} {title:<8}  a* {a:+6.1f}  b* {b:+6.1f}")
    print(f"{'':<6} error {patch_error[patch]:.0f}, of grey {patch_error_of_grey[patch]:.0f}")

(_, true_b), (_, guess_b) = ab["sky"]
assert true_b < -15 and guess_b < -10, "the sky is blue, and was coloured blue"
(true_a, _), (guess_a, _) = ab["saucer"]
assert true_a > 40 and guess_a < 15, "the saucer is red, and was hardly coloured"
for patch in ("saucer", "table"):
    (true_a, true_b), (guess_a, guess_b) = ab[patch]
    assert true_a * guess_a + true_b * guess_b > 0, "the direction is right,"
    assert np.hypot(guess_a, guess_b) < 0.5 * np.hypot(true_a, true_b), "and the colour too weak"
    assert patch_error[patch] > 10, "so that the error stays large"

lab = [rgb_to_lab(to_float(images["cup"])) for images in (coloured, grey, truth)]
nearer = (delta_e_2000(lab[0], lab[2]) < delta_e_2000(lab[1], lab[2])).float().mean().item()
print(f"{100 * nearer:.0f} % of the cup's pixels are nearer to the truth than grey")

# %% tags=["check"]
assert nearer > 0.85, "nearly the whole picture"

# %% [markdown]
# Skies were among its photographs, and this one was recognised. A saucer may have any colour, and
# this one was given a little of each. Two lessons, and you will meet both again:
#
# 1. **Who is unsure stays dull.** Nothing in the grey of a saucer says "red". A network that is
#    punished for every error does best with a colour between all that the saucer could have, and
#    between all colours lies a brownish grey. Notebook 01 measures how much the lightness leaves
#    open, notebook 02 shows how a network comes to its brown, and from 03 on a second network is
#    trained to object. This one had such an opponent for its last minutes.
# 2. **Better than grey is not good.** By the numbers, nearly every pixel of the cup has gained. Yet
#    nobody would take it for a photograph of a red cup. Notebook 10 is about measuring better.

# %% [markdown]
# ### Did it cheat?
#
# We gave `colorize` photographs in colour. Did it look? Ask again, with the same photographs made
# grey first. And what of the details: the network sees 96 pixels, yet the cat's whiskers are
# sharp. The reason is that the result keeps the photograph's own lightness at every pixel, and
# takes only the chroma from the network.

# %%
for name in photographs:
    from_grey = colorizer.colorize(grey[name][0].permute(1, 2, 0).numpy())
    difference = (tensor(from_grey).float() - coloured[name].float()).abs().mean().item()
    L_true, L_coloured = (rgb_to_lab(to_float(images[name]))[:, 0] for images in (truth, coloured))
    changed = (L_true - L_coloured).abs().max().item()
    print(
        f"{name:<6}  from grey: {difference:.2f} of 255 apart;  L* changed by {changed:.2f} of 100"
    )
    assert difference < 1, "the colours depend on the lightness alone"
    assert changed < 0.5, "the photograph keeps its own lightness"

# %% [markdown]
# It did not cheat: the two results are less than 1 of 255 levels apart, which is rounding. And at
# no pixel does the lightness L*, which runs from 0 to 100, change by as much as 0.5.
#
# This notebook has no slider: there is nothing in it yet of which you would know why to turn it.
# From notebook 01 on nearly every notebook has some.

# %% [markdown]
# ## The map of the course
#
# | notebook | what you do there |
# |---|---|
# | **00 Start here** | this one |
# | [01 Colour](01_colour.ipynb) | build Lab; colour by hand, by transfer and by scribbles |
# | [02 The U-Net baseline](02_unet_baseline.ipynb) | train with L1 and L2, and see why it is dull |
# | [03 GANs](03_gans.ipynb) | the game of two networks, on toys that you can calculate |
# | [04 Conditional GANs](04_conditional_gans.ipynb) | give both a condition; test five claims |
# | [05 The U-Net](05_unet.ipynb) | build the generator; prove it equals the library's |
# | [06 The PatchGAN](06_patchgan.ipynb) | build the discriminator; see what a score sees |
# | [07 pix2pix](07_pix2pix.ipynb) | train both, read the four curves, survive a killed session |
# | [08 Wasserstein GAN](08_wasserstein_gan.ipynb) | measure a distance, train on it |
# | [09 WGAN-GP](09_wgan_gp.ipynb) | the gradient penalty, residual U-Nets, all losses compared |
# | [10 Evaluation](10_evaluation.ipynb) | measure colour honestly; judge real or fake yourself |
# | [11 The laboratory](11_laboratory.ipynb) | every hyperparameter on a panel; a search overnight |
# | [12 Your photographs](12_your_photographs.ipynb) | colour your own, of any size and age |
# | [13 Find the bug](13_find_the_bug.ipynb) | real mistakes from published code; projects |
#
# They build on each other. If you know your colour spaces, start with 02. If you have trained a
# GAN before, start with 04.

# %% [markdown]
# **How to work with them.** Run every cell from the top. Where it says "Predict first", stop and
# write down a guess: a wrong guess that you made teaches more than a right answer that you read.
# Exercises stand at the end. Each has a cell for your answer, a `check` that says what was
# expected and what it got, and, as comments, hints and a solution. Nothing after an exercise
# depends on it.

# %% [markdown]
# ## Quick mode and full mode
#
# | | quick | full |
# |---|---|---|
# | chosen when there is | no GPU | a GPU |
# | theory on small drawn scenes | yes | yes, with the same steps and checks |
# | sections on real photographs | skipped | 128 to 256 pixels, the paper's settings |
# | a notebook takes | up to about two minutes | each training up to 15 minutes |
#
# The same cells make both. Full mode adds sections, it does not change what is taught before them.
# To choose yourself write `configure(mode="quick")` in the config cell, or set the environment
# variable `COLORLIB_MODE`. A training longer than 15 minutes wants `configure(long=True)`.
# What you see stored on GitHub is quick mode.

# %% [markdown]
# ## Sessions die
#
# Colab and Kaggle end a session after some hours, a laptop restarts, a battery runs flat. A
# training that keeps everything in memory is then lost. A **run** keeps it in a folder: every now
# and then it writes a **checkpoint**, that is all weights and the state of the optimizers, so
# that it can be taken up again.
#
# Let us try it. First a short training that nothing disturbs: 60 steps of pix2pix, on drawn scenes
# of 32 by 32 pixels. One **step** shows the networks 8 pictures and adjusts both of them once. (On
# the CPU, even if you have a GPU: you will see why.)

# %%
recipe = RECIPES["pix2pix"].replace(
    size=32, width=8, d_width=8, batch_size=8, steps=60, precision="fp32"
)
scenes = open_source("scenes", 32)

undisturbed = Trainer(recipe, scenes, seed=config.seed, device="cpu")
for record in undisturbed.run():
    pass  # a step has been trained; `record` holds its losses

l1 = undisturbed.history["l1"]
first, last = l1.head(10).mean(), l1.tail(10).mean()
print(f"mean error of the chroma: {first:.3f} in the first ten steps, {last:.3f} in the last ten")

# %% tags=["check"]
assert last < 0.8 * first, "it learns"

# %% [markdown]
# Now the same again, in a folder, with a checkpoint every 20 steps. At step 57 we pull the plug:
# the loop ends, and what was in memory is gone.

# %% tags=["nbval-check-output"]
folder = config.out / "00_start_here"
doomed = Trainer(
    recipe, scenes, out=folder, seed=config.seed, device="cpu", save_every=20, overwrite=True
)
for record in doomed.run():
    if record.step == 57:
        break
lost_history = doomed.history["l1"]
del doomed

for path in sorted(folder.glob("[!.]*")):
    print(path.name)
print("checkpoints of the steps", sorted(int(path.name) for path in folder.glob("checkpoints/*")))
print("latest:", (folder / "latest").read_text())

# %% [markdown]
# What is in the folder: the recipe (every setting), the source (which data), the history (a row a
# step), the generator (for `Colorizer.load`), the last two checkpoints, and in `latest` the name
# of the checkpoint that is whole. `latest` is written last. If the power fails while a checkpoint
# is being written, `latest` still names the one before.
#
# `Trainer.resume` needs nothing but the folder:

# %% tags=["nbval-check-output"]
resumed = Trainer.resume(folder, device="cpu")
back_at = resumed.step
for record in resumed.run():
    pass
print(f"died at step 57, back at step {back_at}: {57 - back_at} steps are trained again")
print(f"finished at step {resumed.step}")

# %% tags=["check"]
assert (back_at, resumed.step) == (40, 60)

# %% [markdown]
# 17 steps are trained a second time, and no more: what a dead session costs is the time since the
# last checkpoint. By default one is written every five minutes.
#
# Is the result as good as that of the undisturbed training? It is the *same*: not a bit differs.


# %%
def same_weights(one, other):
    """Whether both networks of two trainers hold exactly equal numbers."""
    pairs = [(one.generator, other.generator), (one.discriminator, other.discriminator)]
    return all(
        torch.equal(mine, theirs)
        for first, second in pairs
        for mine, theirs in zip(first.state_dict().values(), second.state_dict().values())
    )


other = Trainer(recipe, scenes, seed=config.seed + 1, device="cpu")
print("resumed and undisturbed: equal in every bit; another seed: not")

# %% tags=["check"]
assert same_weights(undisturbed, resumed), "resumed equals undisturbed, bit for bit"
assert not same_weights(undisturbed, other), "another seed gives other weights"

# %% [markdown]
# That is worth a second look, because training is full of chance: which pictures come next, which
# activations dropout sets to zero. It works since all chance is made from the **seed** and the
# number of the step alone. Step 41 draws the same numbers, whoever comes to it.
#
# On a GPU sums may be added up in another order each time, and equal runs then drift apart from
# the last digits on. Resuming works there too, but "not a bit differs" is promised for one CPU.

# %%
fig = Figure(figsize=(7, 3.2), layout="constrained")
ax = fig.subplots()
after = resumed.history["l1"]
ax.plot(range(1, 61), l1, color="0.75", linewidth=6, label="undisturbed")
ax.plot(range(1, 58), lost_history, color=PALETTE[1], linewidth=1.8, label="dies at step 57")
ax.plot(range(41, 61), after[-20:], "--", color=PALETTE[0], linewidth=1.8, label="resumed")
ax.axvline(40.5, color="0.4", linewidth=1, linestyle=":")
ax.annotate("checkpoint", (40, ax.get_ylim()[1]), ha="right", va="top", fontsize=9)
ax.set(xlabel="step", ylabel="mean error of the chroma (L1)")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)
show(
    fig,
    alt="Error over 60 steps, falling from about 0.17 to 0.08. The curve of the run that dies ends "
    "at step 57; the resumed curve starts behind the checkpoint at step 40. Both lie on the "
    "undisturbed curve.",
)

# %% tags=["check"]
assert np.array_equal(l1, after), "the same curve"

# %% [markdown]
# Both thin curves lie on the thick one. So when your session dies, start it again and run the
# cells: trainings of full mode find their folder and go on by themselves.
#
# On **Colab** the folder must be on your Drive, for Colab's own disk is emptied: the setup cell
# says how. On **Kaggle** it is in `/kaggle/working`, which is kept when you save the notebook.

# %% [markdown]
# ## Exercises
#
# Write your answer in place of `...`, run the cell, and then the check below it.

# %% [markdown]
# ### Exercise 1: your own photograph
#
# Colour a photograph of your own. On Colab and Kaggle upload it first (the folder symbol, or "Add
# data"), then give its file name to `colorizer.colorize`. Bring both: the photograph, and what
# the network made of it. If you have none at hand take `data.astronaut()`.

# %% tags=["exercise"]
mine = ...  # (photograph, coloured)
### BEGIN SOLUTION
photograph = data.astronaut()
mine = (photograph, Colorizer.load().colorize(photograph))
### END SOLUTION

# %% tags=["exercise-check"]
exercises.own_photograph.check(mine)
# exercises.own_photograph.hint()
# exercises.own_photograph.solution()

# %% [markdown]
# Look at it: `mine[1]` on a line of its own shows it. What did the network get right, and which of
# the three reasons explains what it did not?

# %% [markdown]
# ### Exercise 2: read a report
#
# This is what the doctor found on another machine. Which lines must be acted on before you train
# there? Give their names as a list.

# %% tags=["exercise"]
report = """
ok    Python       3.11.9 on Darwin arm64
ok    torch        2.8.0
FAIL  torchvision  does not start; reinstall torch and torchvision together
ok    packages     13 others as required
-     notebooks    installed
-     export       missing onnx, onnxruntime; for colorlib export
ok    device       mps in fp32
FAIL  memory       3.2 GB, under 4 GB: choose a smaller --width and --batch-size
ok    disk         12.0 GB free
"""
must_act_on = ...
### BEGIN SOLUTION
must_act_on = ["torchvision", "memory"]
### END SOLUTION

# %% tags=["exercise-check"]
exercises.doctor_report.check(must_act_on)
# exercises.doctor_report.hint()
# exercises.doctor_report.solution()

# %% [markdown]
# ### Exercise 3: what does full mode change?
#
# On a machine with a GPU you go from `configure(mode="quick")` to `configure(mode="full")` and run
# notebook 07 again. Predict which of these become true. Give the letters.
#
# - **A** The theory on scenes trains for more steps.
# - **B** The sections on real photographs run.
# - **C** The numbers in the text are computed again.
# - **D** A single training may take up to 15 minutes.
# - **E** Another seed is used.

# %% tags=["exercise"]
true_in_full_mode = ...  # for example ["A", "E"]
### BEGIN SOLUTION
true_in_full_mode = ["B", "D"]
### END SOLUTION

# %% tags=["exercise-check"]
exercises.full_mode.check(true_in_full_mode)
# exercises.full_mode.hint()
# exercises.full_mode.solution()

# %% [markdown]
# ### Exercise 4: where would it go on?
#
# Write a function that says at which step `Trainer.resume` would take a run up again. It gets the
# run's folder as a `pathlib.Path`. A run that has no checkpoint yet starts at step 0.
#
# Careful: a session may die at any moment. The history can have more rows than the checkpoint has
# steps, and a checkpoint's folder may be there that nobody has finished.


# %% tags=["exercise"]
def step_to_resume_at(run):
    """The step at which a run goes on, as an int."""
    ### BEGIN SOLUTION
    latest = run / "latest"
    return int(latest.read_text()) if latest.exists() else 0
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.step_to_resume_at.check(step_to_resume_at)
# exercises.step_to_resume_at.hint()
# exercises.step_to_resume_at.solution()

# %% [markdown]
# ## Recap
#
# 1. A generator turns lightness into chroma; a discriminator judges patches; they train each other.
# 2. `ok`, `FAIL` and `-`: only `FAIL` wants something from you, and it says what.
# 3. The small network that ships colours what resembles groceries, and guesses elsewhere.
# 4. Quick and full mode run the same cells; full mode adds real photographs.
# 5. A run goes on from its last checkpoint, on one CPU bit for bit.
#
# **Words**
#
# - **lightness, chroma**: how light a pixel is; what is left of its colour.
# - **generator, discriminator**: the network that colours; the network that judges.
# - **parameter, weights**: a number that training adjusts; all of them together.
# - **step**: one adjustment of both networks, on one batch of pictures.
# - **seed**: the number from which all chance of a run is made.
# - **checkpoint**: everything that a training needs to go on, on disk.

# %% [markdown]
# **Papers**
#
# - P. Isola, J.-Y. Zhu, T. Zhou, A. A. Efros, "Image-to-Image Translation with Conditional
#   Adversarial Networks", CVPR 2017.
# - M. Klasson, C. Zhang, H. Kjellström, "A Hierarchical Grocery Store Image Dataset with Visual and
#   Semantic Labels", WACV 2019.
#
# **Next**: [Colour, and why colorization is ambiguous](01_colour.ipynb)
