"""Images of one's own: folders and parquet, classes and clients, pictures of every kind, and what is refused."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fedgen_bench_plugins.backbones.loading import load_unet
from fedgen_bench_plugins.datasets.image_folder import open_image_folder, own_files
from fedgen_bench_plugins.datasets.pictures import decoded
from fedgen_bench_plugins.datasets.sources import ImageSource
from fedgen_bench_plugins.tasks.image_checks import check_compared
from fedgen_bench_plugins.tasks.image_generation import ImageGeneration
from fedgen_bench_plugins.tasks.image_params import Params
from PIL import Image

from fedgen_bench import DataError, SeedTree
from fedgen_bench.contract.params import make_params

RED, GREEN, BLUE, WHITE, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (128, 128, 128)
SEEDS = SeedTree("task", "adapter", "partitioner", "strategy", 1)


def picture(colour=RED, size=(4, 4), mode="RGB", kind="PNG", **options):
    content = io.BytesIO()
    Image.new(mode, size, colour).save(content, kind, **options)
    return content.getvalue()


def write(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def opened(path, **source):
    return open_image_folder(lambda one: one, ImageSource(str(path), **source))


def read(path, **source):
    return opened(path, **source).load(2)


def first_pixel(content, size=2):
    return tuple(decoded(content, size, "it")[:, 0, 0].tolist())


def refusal(path, **source):
    with pytest.raises(DataError) as told:
        read(path, **source)
    text = str(told.value)
    assert "\n" not in text
    return text


# Pictures


def test_the_middle_square_is_taken_and_resized_with_antialiasing():
    wide = np.zeros((4, 10, 3), np.uint8)
    wide[:, 3:5], wide[:, 5:7] = RED, BLUE
    content = io.BytesIO()
    Image.fromarray(wide).save(content, "PNG")
    pixels = decoded(content.getvalue(), 4, "it")
    assert (pixels.shape, pixels.dtype) == ((3, 4, 4), np.uint8)
    assert pixels[0, 0].tolist() == [255, 255, 0, 0]
    assert pixels[2, 0].tolist() == [0, 0, 255, 255]
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    content = io.BytesIO()
    Image.fromarray(stripes).save(content, "PNG")
    assert abs(int(decoded(content.getvalue(), 8, "it")[0, 4, 4]) - 128) < 8  # without antialiasing 0 or 255


@pytest.mark.parametrize(
    ("content", "pixel"),
    [
        (picture(128, mode="L"), GREY),
        (picture(128 * 256, mode="I;16"), GREY),
        (picture(1, mode="1"), WHITE),
        (picture((255, 0, 0, 0), mode="RGBA"), WHITE),
        (picture((255, 0, 0, 255), mode="RGBA"), RED),
        (picture((0, 0), mode="LA"), WHITE),
        (picture(3, mode="P"), None),
        (picture(0, mode="P", transparency=0), WHITE),
        (picture(GREY, kind="JPEG"), GREY),
        (picture((127, 127, 127, 0), mode="CMYK", kind="JPEG"), GREY),
        (picture(GREEN, kind="BMP"), GREEN),
        (picture(BLUE, kind="WEBP", lossless=True), BLUE),
    ],
    ids=["L", "I;16", "1", "clear", "RGBA", "LA", "P", "clear P", "JPEG", "CMYK", "BMP", "WEBP"],
)
def test_every_mode_becomes_rgb_on_white(content, pixel):
    assert decoded(content, 2, "it").shape == (3, 2, 2)
    if pixel is not None:
        assert np.abs(np.subtract(first_pixel(content), pixel)).max() <= 1


def test_a_picture_is_turned_upright():
    left_red = np.zeros((2, 2, 3), np.uint8)
    left_red[:, 0] = RED
    content, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees: left becomes top
    Image.fromarray(left_red).save(content, "PNG", exif=exif)
    assert decoded(content.getvalue(), 2, "it")[0].tolist() == [[255, 255], [0, 0]]


# Folders and tables


def test_folders_are_classes_and_images_come_in_order(tmp_path):
    write(
        tmp_path, {f"{name}/{i}.png": picture(colour) for name, colour in (("b", BLUE), ("a", RED)) for i in range(3)}
    )
    images = read(tmp_path, valid_share=0.2, test_share=0.2)
    assert images.classes == ("a", "b")
    assert [len(one) for one in (images.train, images.valid, images.test)] == [4, 1, 1]
    for part in (images.train, images.valid, images.test):
        assert [(RED, BLUE)[label] for label in part.labels] == [tuple(one[:, 0, 0].tolist()) for one in part.pixels]
    assert images.columns == {}


def test_folders_of_clients_hold_folders_of_classes(tmp_path):
    write(tmp_path, {f"{who}/{what}/{i}.png": picture() for who in "yx" for what in "ba" for i in range(3)})
    images = read(tmp_path, client_folders=True)
    assert images.classes == ("a", "b")
    assert len(images.columns["client"]) == len(images.train)
    assert set(images.columns["client"].tolist()) == {0, 1}


def test_a_flat_folder_is_one_class(tmp_path):
    write(tmp_path, {f"{i}.png": picture() for i in range(5)})
    assert read(tmp_path).classes == ("image",)


def test_parts_of_ones_own_are_taken_as_they_are(tmp_path):
    write(tmp_path, {f"{part}/a/1.png": picture(c) for part, c in (("train", RED), ("val", GREEN), ("test", BLUE))})
    images = read(tmp_path)
    found = [tuple(one.pixels[0, :, 0, 0].tolist()) for one in (images.train, images.valid, images.test)]
    assert found == [RED, GREEN, BLUE]


def parquet(path, *, metadata=None, **columns):
    table = pa.table(columns)
    pq.write_table(table.replace_schema_metadata(metadata) if metadata else table, path)


@pytest.mark.parametrize("as_struct", [True, False])
def test_parquet_holds_images_classes_and_clients(tmp_path, as_struct):
    colours = (RED, BLUE, GREEN) * 3
    contents = [picture(one) for one in colours]
    images = [{"bytes": one, "path": None} for one in contents] if as_struct else contents
    labels, owners = [10, 2, 2] * 3, ["y", "x", "y"] * 3
    names = {"info": {"features": {"label": {"names": [f"class {i}" for i in range(11)]}}}}
    parquet(
        tmp_path / "data.parquet", image=images, label=labels, who=owners, metadata={"huggingface": json.dumps(names)}
    )
    found = read(tmp_path, client_column="who", valid_share=0.2, test_share=0.2)
    assert found.classes == ("class 2", "class 10")
    pixels, clients = found.train.pixels[:, :, 0, 0], found.columns["client"]
    colour_of = {RED: (1, 1), BLUE: (0, 0), GREEN: (0, 1)}
    assert [colour_of[tuple(one)] for one in pixels.tolist()] == list(
        zip(found.train.labels.tolist(), clients.tolist(), strict=True)
    )


def test_files_name_what_is_read_alone(tmp_path):
    write(tmp_path, {"a/1.PNG": picture(), "a/notes.txt": b"x"})
    (found,) = own_files(lambda one: one, ImageSource(str(tmp_path))).values()
    assert [one.name for one in found.files] == ["1.PNG"]


# What is wrong


@pytest.mark.parametrize(
    ("files", "source", "said"),
    [
        ({"a/1.gif": b"x"}, {}, r"holds no file whose name ends in \.png.*; it holds a/1\.gif"),
        ({"a/1.png": picture(), "a.parquet": b"x"}, {}, r"mixes formats \(a\.parquet, a/1\.png\)"),
        ({"a/1.png": picture(), "2.png": picture()}, {}, r"2\.png does not lie in a folder for its class"),
        (
            {"a/1.png": picture()},
            {"client_folders": True},
            r"not lie in a folder for its class in one for its",
        ),
        ({"a/1.png": picture()}, {"client_column": "who"}, r"holds image files, which have no columns"),
        ({"a/1.png": picture()}, {}, r"1 image is too few to draw `test` from"),
        ({f"{c}/1.png": picture() for c in "abc"}, {}, r"3 images of 3 classes are too few .* each class keeps one"),
        ({f"a/{i}.png": b"no" if i == 3 else picture() for i in range(5)}, {}, r"a/3\.png is no PNG, JPEG, .* image"),
        ({f"a/{i}.png": picture()[:-30] for i in range(5)}, {}, r"a/0\.png is no PNG, JPEG, .* image"),
        ({"a.parquet": b"no"}, {}, r"a\.parquet cannot be read as parquet"),
    ],
)
def test_what_cannot_be_used_is_told_in_a_sentence(tmp_path, files, source, said):
    write(tmp_path, files)
    text = refusal(tmp_path, **source)
    assert re.search(said, text), text


@pytest.mark.parametrize(
    ("columns", "source", "said"),
    [
        ({"img": [b"x"], "label": [1]}, {}, "has no column `image`: its columns are img, label. Name the right ones"),
        ({"image": [b"x"], "y": [1]}, {}, "has no column `label`: its columns are image, y."),
        ({"image": ["x"], "label": [1]}, {}, "has a column `image` of string."),
        ({"image": [b"x", b"y"], "label": [1, None]}, {}, "data.parquet, row 2, has nothing in column `label`"),
        ({"image": [b"x"], "label": [1], "who": [""]}, {"client_column": "who"}, "nothing in column `who`"),
        ({"image": [picture(), None, picture()], "label": [1, 1, 1]}, {}, "data.parquet, row 2 holds no image."),
        ({"image": pa.array([], pa.binary()), "label": pa.array([], pa.int64())}, {}, "its 1 files have no rows"),
    ],
)
def test_what_is_wrong_with_a_table_is_told(tmp_path, columns, source, said):
    parquet(tmp_path / "data.parquet", **columns)
    assert said in refusal(tmp_path, **source)


def test_damaged_images_of_a_table_are_told(tmp_path):
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"image": [picture()] * 9, "label": [1] * 9}), path, compression="none")
    content = path.read_bytes()
    path.write_bytes(content[:4] + bytes(one ^ 0x5A for one in content[4:60]) + content[60:])
    assert "data.parquet cannot be read as parquet (" in refusal(tmp_path)


def test_two_columns_of_a_name_are_told(tmp_path):
    images, labels = pa.array([picture()]), pa.array([1])
    table = pa.Table.from_arrays([images, images, labels], names=["image", "image", "label"])
    pq.write_table(table, tmp_path / "data.parquet")
    assert "has 2 columns `image`. Give each a name of its own." in refusal(tmp_path)


def test_notes_beside_a_table_that_are_no_names_are_left_alone(tmp_path):
    parquet(tmp_path / "data.parquet", image=[picture()] * 9, label=[1] * 9, metadata={"huggingface": "[" * 100_000})
    assert opened(tmp_path).classes == ("1",)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"dataset": "image_folder"}, "Say where they are with `path`"),
        ({"source": {"path": "x"}}, 'Set dataset = "image_folder"'),
        ({"source": {"image_column": ""}}, "image_column is empty"),
        ({"source": {"test_share": 1.0}}, "test_share must be at least 0 and below 1"),
    ],
)
def test_what_a_suite_says_wrong_is_told(params, said):
    made, [(_, sentence)] = make_params(Params, params)
    assert made is None
    assert said in sentence


# The task


def of_many(tmp_path, n=4):
    write(tmp_path, {f"{name}/{i}.png": picture(c) for name, c in (("a", RED), ("b", BLUE)) for i in range(n)})
    return Params(
        dataset="image_folder", backbone="tiny-shapes-unet", source=ImageSource(str(tmp_path)), extractors=(),
        optional_extractors=(), sampler_steps=2, n_samples=4, n_valid_samples=4,
    )  # fmt: skip


def test_images_take_the_backbones_size_and_their_labels_new_tokens(tmp_path):
    params = of_many(tmp_path)
    task = ImageGeneration(params).load(lambda one: one)
    own = load_unet("tiny-shapes-unet", n_classes=10, image_size=16)
    assert task.images.size == 16
    assert task.units(SEEDS).column("label").tolist() == task.images.train.labels.tolist()
    context, known = task.backbone.module.context, own.module.context
    assert context.shape == (3, *known.shape[1:])
    assert context[-1].equal(known[-1])
    assert not any(context[0].equal(one) for one in known)


def test_few_images_are_not_compared_with_generated_ones(tmp_path):
    params = of_many(tmp_path)
    images = opened(tmp_path).load(2)
    check_compared(params, images)
    compared = Params(dataset="image_folder", source=params.source, n_samples=60, n_valid_samples=60)
    with pytest.raises(DataError, match=r"Part `valid` compares 60 generated images with 1 of yours"):
        check_compared(compared, images)
