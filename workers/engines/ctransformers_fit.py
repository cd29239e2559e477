"""Which files ctransformers 0.2.27 can be given: it answers everything else by crashing, or with nonsense.

Its llama.cpp is of September 2023. What it loads was tried; what it does with the rest is in ADR 8.
"""

from tasks import errors
from workers.engines import gguf
from workers.engines.gguf import Header

_ARCHITECTURES = ("llama", "falcon")
_TENSOR_TYPES = ("F32", "F16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")
_SIZES = ("context_length", "embedding_length", "block_count", "feed_forward_length", "attention.head_count")
_VOCABULARY = {"tokens": gguf.STRING, "scores": gguf.FLOAT32, "token_type": gguf.INT32}
_BYTE_TOKENS = frozenset(b"<0x%02X>" % byte for byte in range(256))


def check(header: Header, context: int) -> None:
    """Raises `EngineUnusable` with every reason why the model can't run, or not with such a context."""
    reasons = [*_architecture(header), *_sizes(header, context), *_tokenizer(header), *_tensors(header)]
    if reasons:
        raise errors.EngineUnusable(f"ctransformers can't run this model: {'; '.join(reasons)}")


def _architecture(header: Header) -> list[str]:
    if header.architecture not in _ARCHITECTURES:
        return [f"its architecture is {header.architecture!r:.80}, not {' or '.join(_ARCHITECTURES)}"]
    scaling = header.text(f"{header.architecture}.rope.scaling.type") or "none"
    reasons = ["it is a mixture of experts"] * bool(header.size("expert_count"))
    reasons += [f"its positions are scaled ({scaling:.40})"] * (scaling != "none")
    return reasons + ["it is one of several files"] * ((header.whole("split.count") or 0) > 1)


def _sizes(header: Header, context: int) -> list[str]:
    missing = [name for name in _SIZES if not header.size(name)]
    if missing:
        return [f"its header doesn't tell {', '.join(missing)}"]
    trained = header.size("context_length") or 0
    width, heads = header.size("embedding_length") or 0, header.size("attention.head_count") or 1
    reasons = [f"a context of {context} tokens is asked for, it was made for {trained}"] * (context > trained)
    return reasons + [f"{heads} heads can't share a width of {width}"] * (width % heads != 0)


def _tokenizer(header: Header) -> list[str]:
    if header.tokenizer != "llama":
        return [f"its tokenizer is {header.tokenizer!r:.80}, not 'llama' (SentencePiece)"]
    if not header.flag("tokenizer.ggml.add_space_prefix", True):
        return ["its tokenizer puts no space before a text"]
    found = {name: header.arrays.get(f"tokenizer.ggml.{name}") for name in _VOCABULARY}
    wrong = [name for name, array in found.items() if array is None or array.kind != _VOCABULARY[name]]
    if wrong:
        return [f"its tokenizer has no {', '.join(wrong)}"]
    counts = {array.count for array in found.values() if array}
    tokens = found["tokens"]
    if len(counts) > 1 or tokens is None or not tokens.count:
        return [f"its tokens, their scores and types aren't equally many: {sorted(counts)}"]
    reasons = ["its tokenizer can't write every byte"] * bool(_BYTE_TOKENS.difference(tokens.items))
    special = [header.whole(f"tokenizer.ggml.{name}_token_id") or 0 for name in ("bos", "eos", "unknown")]
    return reasons + ["its special tokens aren't among its tokens"] * (max(special) >= tokens.count)


def _tensors(header: Header) -> list[str]:
    foreign = sorted({tensor.type_name for tensor in header.tensors} - set(_TENSOR_TYPES))
    return [f"it has weights of the types {', '.join(foreign)}"] * bool(foreign)
