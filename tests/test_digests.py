"""Digests are sha256 over parts one behind the other, so that those of earlier versions stay valid."""

import hashlib
import json
import os

import numpy as np
import pytest
import torch

from chinspect.digests import digest, digest_of_file, digest_of_json, tensor_bytes


def test_parts_are_hashed_one_behind_the_other():
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert digest("a", b"b", values) == hashlib.sha256(b"ab" + values.tobytes()).hexdigest()
    assert digest() == hashlib.sha256().hexdigest()


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (4,), (2, 3)])
@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32, np.bool_, np.uint8])
def test_an_array_counts_by_its_values_in_c_order(shape, dtype):
    values = np.ones(shape, dtype)
    expected = hashlib.sha256(values.tobytes()).hexdigest()
    assert digest(values) == expected
    assert digest(np.asfortranarray(values)) == expected


def test_a_transposed_array_is_another_one():
    values = np.arange(6.0).reshape(2, 3)
    assert digest(values) != digest(values.T)
    assert digest(values.T) == digest(values.T.copy())


def test_names_that_are_no_utf8_count_by_their_bytes():
    assert digest(os.fsdecode(b"\xff.png")) == hashlib.sha256(b"\xff.png").hexdigest()


def test_json_counts_whatever_the_order_of_its_keys():
    assert digest_of_json({"a": 1, "b": [True, None, "ü"]}) == digest_of_json({"b": [True, None, "ü"], "a": 1})
    assert digest_of_json([1]) == hashlib.sha256(json.dumps([1]).encode()).hexdigest()
    assert len({digest_of_json({"a": value}) for value in (1, 1.0, True, "1")}) == 4


@pytest.mark.parametrize(("value", "error"), [({"a": float("nan")}, ValueError), ({"a": object()}, TypeError)])
def test_what_is_no_json_is_refused(value, error):
    with pytest.raises(error):
        digest_of_json(value)


def test_a_file_counts_by_its_content(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    assert digest_of_file(tmp_path / "a") == digest(b"content")
    with pytest.raises(FileNotFoundError):
        digest_of_file(tmp_path / "b")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool])
def test_tensors_of_any_type_have_bytes(dtype):
    tensor = torch.tensor([[0, 1, 1], [1, 0, 0]], dtype=dtype, requires_grad=dtype.is_floating_point)
    assert tensor_bytes(tensor).nbytes == tensor.numel() * tensor.element_size()
    assert digest(tensor_bytes(tensor.T)) == digest(tensor_bytes(tensor.T.contiguous()))
    if dtype != torch.bfloat16:
        assert digest(tensor_bytes(tensor)) == digest(tensor.detach().numpy())
