"""The demo model, of which too much may be expected by who meets it first."""

MODEL = "demo-chat"
HINT = (
    f"{MODEL} is tiny: it answers questions about a few short facts, and tells stories. For more, `make gemma`, or "
    "serve a model of your own: docs/models.md."
)
