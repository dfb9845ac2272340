import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmcontrast.nn import View, build_multimodal_encoder

SHAPES = {"eeg": (3, 12), "age": (4,), "image": (1, 6, 6)}


def build(seed=0, shapes=SHAPES, **options):
    torch.manual_seed(seed)
    return build_multimodal_encoder(shapes, 8, n_heads=2, **options).double()


def draw(batch, seed=0, shapes=SHAPES):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(batch, *shape, generator=generator, dtype=torch.float64)
        for name, shape in shapes.items()
    }


@pytest.mark.parametrize("fusion", ["transformer", "concat_linear"])
def test_a_mask_equals_a_view_without_the_other_modalities(fusion):
    encoder = build(fusion=fusion).eval()
    values = draw(5)
    masks = [("eeg",), ("age", "image"), tuple(SHAPES)]
    z = encoder(View(values), masks)
    for mask, expected in zip(masks, z, strict=True):
        subset = View({name: values[name] for name in mask})
        torch.testing.assert_close(encoder(subset)[0], expected)


@given(
    present=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=6),
    training=st.booleans(),
)
def test_values_of_absent_rows_influence_nothing(present, training):
    encoder = build().train(training)
    values = draw(len(present))
    presence = {
        "eeg": torch.tensor([here for here, _ in present]),
        "image": torch.tensor([here for _, here in present]),
    }
    if training and presence["image"].sum() == 0:
        return
    changed = {
        name: x
        if name not in presence
        else torch.where(presence[name].view(-1, *[1] * (x.ndim - 1)), x, torch.nan)
        for name, x in values.items()
    }
    masks = [tuple(SHAPES), ("eeg",), ("image",)]
    state = {k: v.clone() for k, v in encoder.state_dict().items()}
    z = encoder(View(values, presence), masks)
    after = {k: v.clone() for k, v in encoder.state_dict().items()}
    encoder.load_state_dict(state)
    torch.testing.assert_close(encoder(View(changed, presence), masks), z, rtol=0, atol=0)
    torch.testing.assert_close(dict(encoder.state_dict()), after, rtol=0, atol=0)


def test_an_absent_modality_equals_a_row_without_it():
    encoder = build().eval()
    values = draw(4)
    presence = {"eeg": torch.tensor([True, False, True, False])}
    z = encoder(View(values, presence))[0]
    with_eeg = encoder(View(values))[0]
    without = encoder(View({name: x for name, x in values.items() if name != "eeg"}))[0]
    torch.testing.assert_close(z, torch.where(presence["eeg"][:, None], with_eeg, without))


@pytest.mark.parametrize("encoder_name", ["gru", "transformer", "causal_conv"])
@pytest.mark.parametrize("training", [True, False])
def test_padding_influences_nothing(encoder_name, training):
    shapes = {"text": (3, 12), "age": (4,)}
    encoder = build(shapes=shapes, encoders={"text": encoder_name}).train(training)
    values = draw(4, shapes=shapes)
    lengths = {"text": torch.tensor([12, 5, 1, 8])}
    padded = torch.arange(12) >= lengths["text"][:, None]
    changed = values | {"text": values["text"].masked_fill(padded[:, None], 1e3)}
    torch.testing.assert_close(
        encoder(View(values, lengths=lengths)), encoder(View(changed, lengths=lengths))
    )
    encoder.eval()
    for row, length in enumerate(lengths["text"]):
        alone = View(
            {"text": values["text"][row : row + 1, :, :length], "age": values["age"][row : row + 1]}
        )
        torch.testing.assert_close(
            encoder(alone)[0, 0], encoder(View(values, lengths=lengths))[0, row]
        )


def test_specifications_per_modality():
    encoder = build(
        encoders={"age": torch.nn.Linear(4, 5)}, converters={"age": "feature_tokenizer"}
    )
    tokens, keep, sizes = encoder.tokens(View(draw(2)))
    assert sizes[1] == 5
    assert tokens.shape[1] == keep.shape[1] == sum(sizes)
    with pytest.raises(ValueError, match=r"modality 'egg'.*Did you mean 'eeg'"):
        build(encoders={"egg": "mlp"})
    with pytest.raises(ValueError, match="fusion='mean' is unknown"):
        build(fusion="mean")
    with pytest.raises(TypeError, match="fusion made a int"):
        build(fusion=lambda dim, n: 3)
