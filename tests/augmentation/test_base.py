"""Laws that every augmentation of one modality keeps, and the refusals of the base class."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from torch.testing import assert_close

from mmcontrast.augmentation import (
    Augmentation,
    AugmentationContext,
    ChannelDropout,
    Compose,
    CropResample,
    DropTimeSteps,
    FeatureMasking,
    GaussianNoise,
    TimeShift,
    Translate,
)

# how to make each one for given p and strength, and the dimensions of its batches
MAKERS = {
    "noise": (lambda **kw: GaussianNoise(0.3, **kw), (2, 3, 4)),
    "drop": (lambda **kw: DropTimeSteps(**kw), (3,)),
    "drop window": (lambda **kw: DropTimeSteps(contiguous=True, fill=-1.0, **kw), (3,)),
    "crop": (lambda **kw: CropResample(**kw), (3,)),
    "shift": (lambda **kw: TimeShift(0.4, **kw), (3,)),
    "shift out": (lambda **kw: TimeShift(0.4, circular=False, **kw), (3,)),
    "channels": (lambda **kw: ChannelDropout(0.5, **kw), (3, 4)),
    "features": (lambda **kw: FeatureMasking(0.4, **kw), (2, 3, 4)),
    "translate": (lambda **kw: Translate(2, **kw), (4,)),
    "compose": (lambda **kw: Compose([GaussianNoise(p=1.0), CropResample()], **kw), (3,)),
    "compose twice": (lambda **kw: Compose([Compose([GaussianNoise()])], **kw), (2, 3, 4)),
}
CASES = [
    pytest.param(make, ndim, id=f"{n} {ndim}d") for n, (make, d) in MAKERS.items() for ndim in d
]
SEQUENCE_MAKERS = [
    pytest.param(make, id=name) for name, (make, dims) in MAKERS.items() if 3 in dims
]
DTYPES = st.sampled_from([torch.float32, torch.float64, torch.bfloat16])
STRENGTHS = st.floats(0.01, 4.0)
SEEDS = st.integers(0, 10_000)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def batch(n_samples, ndim, size, seed, dtype=torch.float32):
    shape = (n_samples, 3, size, size)[:ndim]
    return torch.randn(shape, generator=seeded(seed + 1)).to(dtype)


@pytest.mark.parametrize(("make", "ndim"), CASES)
@given(st.integers(0, 5), st.integers(1, 9), SEEDS, DTYPES, STRENGTHS, st.floats(0, 1))
def test_shape_dtype_device_finite_and_input_kept(make, ndim, n, size, seed, dtype, strength, p):
    x = batch(n, ndim, size, seed, dtype)
    before = x.clone()
    output = make(p=p)(x, strength=strength, generator=seeded(seed))
    assert (output.shape, output.dtype, output.device) == (x.shape, dtype, x.device)
    assert output.isfinite().all()
    assert torch.equal(x, before)


@pytest.mark.parametrize(("make", "ndim"), CASES)
@given(st.integers(1, 5), st.integers(1, 9), SEEDS, DTYPES)
def test_strength_zero_and_p_zero_are_the_identity(make, ndim, n, size, seed, dtype):
    x = batch(n, ndim, size, seed, dtype)
    assert make(p=1.0)(x, strength=0.0) is x
    assert make(p=1.0, strength=0.0)(x, strength=3.0) is x
    assert make(p=0.0)(x) is x


@pytest.mark.parametrize(("make", "ndim"), CASES)
def test_equal_seeds_give_equal_output_and_others_do_not(make, ndim):
    x = batch(16, ndim, 12, 0)
    augmentation = make(p=0.5)
    first = augmentation(x, generator=seeded(7))
    assert torch.equal(first, augmentation(x, generator=seeded(7)))
    assert torch.equal(first, clone(augmentation)(x, generator=seeded(7)))
    assert not torch.equal(first, augmentation(x, generator=seeded(8)))
    torch.manual_seed(7)
    from_global = augmentation(x)
    torch.manual_seed(7)
    assert torch.equal(from_global, augmentation(x))


@pytest.mark.parametrize(("make", "ndim"), CASES)
def test_rows_get_parameters_of_their_own(make, ndim):
    x = batch(1, ndim, 12, 0).expand(32, *[-1] * (ndim - 1))
    output = make(p=1.0)(x, generator=seeded(0))
    assert len(output.flatten(1).unique(dim=0)) > 5


@pytest.mark.parametrize(("make", "ndim"), CASES)
def test_own_strength_multiplies_that_of_the_call(make, ndim):
    x = batch(16, ndim, 12, 0)
    once = make(p=1.0, strength=0.5)(x, strength=0.5, generator=seeded(0))
    assert torch.equal(once, make(p=1.0)(x, strength=0.25, generator=seeded(0)))


@pytest.mark.parametrize(("make", "ndim"), CASES)
def test_distance_from_the_input_grows_with_the_strength(make, ndim):
    x = batch(400, ndim, 12, 0)
    distances = [
        (make(p=1.0)(x, strength=s, generator=seeded(3)) - x).square().mean().item()
        for s in (0.05, 0.3, 0.6, 1.0)
    ]
    assert all(np.diff(distances) > 0)


@pytest.mark.parametrize(("make", "ndim"), CASES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_precision_does_not_change_the_draws(make, ndim, dtype):
    x = batch(16, ndim, 12, 0).to(torch.bfloat16)
    output = make(p=0.7)(x.to(dtype), generator=seeded(0))
    tolerance = 1e-5 if dtype == torch.float64 else 0.1
    expected = make(p=0.7)(x.float(), generator=seeded(0))
    assert_close(output.float(), expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("p", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("ndim", [2, 3])
def test_p_is_the_share_of_samples_that_change(p, ndim):
    x = batch(3000, ndim, 4, 0)
    changed = (GaussianNoise(p=p)(x, generator=seeded(0)) != x).flatten(1)
    assert torch.equal(changed.any(1), changed.all(1))
    assert abs(changed.any(1).float().mean() - p) < 0.04


@pytest.mark.parametrize(("make", "ndim"), [c for c in CASES if "compose" not in c.id])
def test_p_one_augments_all_rows(make, ndim):
    x = batch(200, ndim, 30, 0)
    changed = (make(p=1.0)(x, strength=4.0, generator=seeded(0)) != x).flatten(1).any(1)
    # a random shift or window can be the identity by chance
    assert changed.float().mean() > 0.9


@pytest.mark.parametrize("make", SEQUENCE_MAKERS)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=5), st.integers(1, 9), SEEDS, STRENGTHS)
def test_padding_stays_and_never_enters_the_valid_part(make, lengths, n_times, seed, strength):
    lengths = torch.tensor(lengths).clamp(max=n_times)
    x = batch(len(lengths), 3, n_times, seed)[..., :1].expand(-1, -1, n_times).contiguous()
    x = x + torch.arange(n_times)
    padded = (torch.arange(n_times) >= lengths[:, None])[:, None].expand_as(x)
    outputs = [
        make(p=0.8)(
            x.masked_fill(padded, value), lengths=lengths, strength=strength, generator=seeded(seed)
        )
        for value in (1e6, torch.nan)
    ]
    assert (outputs[0][padded] == 1e6).all()
    assert outputs[1][padded].isnan().all()
    assert torch.equal(outputs[0][~padded], outputs[1][~padded])
    assert outputs[0][~padded].abs().le(1e3).all()


@pytest.mark.parametrize("make", SEQUENCE_MAKERS)
def test_full_lengths_equal_no_lengths(make):
    x = batch(6, 3, 12, 0)
    expected = make(p=0.7)(x, generator=seeded(1))
    assert torch.equal(make(p=0.7)(x, lengths=torch.full((6,), 12), generator=seeded(1)), expected)


def test_gradients_flow_to_the_input():
    x = batch(4, 3, 8, 0).requires_grad_()
    Compose([GaussianNoise(), CropResample(), DropTimeSteps()])(
        x, generator=seeded(0)
    ).sum().backward()
    assert x.grad.isfinite().all()
    assert x.grad.any()


def test_an_augmentation_of_ones_own():
    class Negate(Augmentation):
        def augment(self, x, context):
            return -context.strength * x

    x = batch(400, 2, 3, 0)
    output = Negate(p=0.5, strength=2.0)(x, generator=seeded(0))
    negated = (output == -2 * x).all(1)
    assert 0.4 < negated.float().mean() < 0.6
    assert torch.equal(output[~negated], x[~negated])
    with pytest.raises(NotImplementedError, match="Augmentation must implement augment"):
        Augmentation()(x)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda x: x[:, :1], r"found \(4, 1\)"),
        (lambda x: x.double(), "found .*float64"),
        (lambda x: x.numpy(), "found ndarray"),
    ],
)
def test_an_augmentation_that_changes_the_form_is_refused(change, found):
    class Faulty(Augmentation):
        def augment(self, x, context):
            return change(x)

    with pytest.raises(ValueError, match=f"Faulty must .*{found}"):
        Faulty()(torch.ones(4, 3))


@given(st.floats(0, 1), SEEDS)
def test_bernoulli_draws_at_its_rate(rate, seed):
    context = AugmentationContext(1.0, torch.device("cpu"), generator=seeded(seed))
    share = context.bernoulli(rate, 100, 100).float().mean().item()
    assert abs(share - rate) < 5 * np.sqrt(rate * (1 - rate) / 1e4) + 1e-6


@pytest.mark.parametrize(
    ("augmentation", "message"),
    [
        (GaussianNoise(sigma=-1), "'sigma' parameter of GaussianNoise"),
        (GaussianNoise(sigma=float("nan")), "'sigma' parameter of GaussianNoise"),
        (GaussianNoise(sigma="big"), "'sigma' parameter of GaussianNoise"),
        (GaussianNoise(p=1.5), "'p' parameter of GaussianNoise"),
        (GaussianNoise(p=-0.1), "'p' parameter of GaussianNoise"),
        (GaussianNoise(strength=-1), "'strength' parameter of GaussianNoise"),
        (GaussianNoise(strength=float("inf")), "'strength' parameter of GaussianNoise"),
        (DropTimeSteps(max_fraction=1.1), "'max_fraction' parameter of DropTimeSteps"),
        (DropTimeSteps(contiguous="yes"), "'contiguous' parameter of DropTimeSteps"),
        (DropTimeSteps(fill=None), "'fill' parameter of DropTimeSteps"),
        (CropResample(min_fraction=-0.1), "'min_fraction' parameter of CropResample"),
        (TimeShift(max_shift=2), "'max_shift' parameter of TimeShift"),
        (ChannelDropout(prob=2), "'prob' parameter of ChannelDropout"),
        (FeatureMasking(fraction=-1), "'fraction' parameter of FeatureMasking"),
        (Translate(max_shift=-1), "'max_shift' parameter of Translate"),
        (Compose(GaussianNoise()), "'augmentations' parameter of Compose"),
    ],
)
def test_parameters_out_of_range_are_named(augmentation, message):
    with pytest.raises(ValueError, match=message):
        augmentation(torch.ones(2, 3, 4))


@pytest.mark.parametrize(
    ("augmentation", "shape", "expected"),
    [
        (DropTimeSteps(), (4, 3), r"DropTimeSteps expects .*\(batch, channels, times\)"),
        (CropResample(), (4, 3), "CropResample expects .* 3 dimensions, found 2"),
        (TimeShift(), (4, 3, 2, 2), "TimeShift expects .* 3 dimensions, found 4"),
        (ChannelDropout(), (4, 3), "ChannelDropout expects .* found 2 .* FeatureMasking"),
        (Translate(), (4, 3, 2), "Translate expects .*height.* 4 dimensions, found 3"),
        (GaussianNoise(), (), "GaussianNoise expects a batch"),
    ],
)
def test_batches_of_other_dimensions_are_refused(augmentation, shape, expected):
    with pytest.raises(ValueError, match=expected):
        augmentation(torch.ones(shape))


@pytest.mark.parametrize("strength", [-1, float("nan"), float("inf"), "1", None])
def test_strength_of_a_call_is_checked(strength):
    with pytest.raises(ValueError, match="strength that GaussianNoise is called with"):
        GaussianNoise()(torch.ones(2, 3), strength=strength)


@pytest.mark.parametrize("scale", [-1.0, float("nan"), None, torch.ones(3)])
def test_scale_is_checked(scale):
    with pytest.raises(ValueError, match="scale that GaussianNoise is called with"):
        GaussianNoise()(torch.ones(2, 3), scale=scale)


@pytest.mark.parametrize("x", [np.ones((2, 3)), torch.ones(2, 3, dtype=torch.int64), [[1.0]]])
def test_only_floating_point_tensors_are_augmented(x):
    with pytest.raises(TypeError, match="GaussianNoise augments"):
        GaussianNoise()(x)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        (torch.ones(3, dtype=torch.int64), "found torch.int64 of shape (3,)"),
        (torch.ones(2), "found torch.float32 of shape (2,)"),
        (torch.tensor(1), "found torch.int64 of shape ()"),
    ],
)
def test_lengths_are_checked(lengths, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        DropTimeSteps()(torch.ones(2, 3, 4), lengths=lengths)


def test_lengths_belong_to_sequences():
    with pytest.raises(ValueError, match="lengths, which belong to sequences"):
        GaussianNoise()(torch.ones(2, 3), lengths=torch.ones(2, dtype=torch.int64))
