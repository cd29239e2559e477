"""How models are named in addresses: with `/` and `:`, as OpenAI's clients may."""

from werkzeug.routing import PathConverter


class ModelName(PathConverter):
    """What isn't the address of a model's predictions, which has methods of its own."""

    regex = "[^/].*?(?<!/predictions)"
