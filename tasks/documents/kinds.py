"""What kinds of files can be read, which the names of files tell."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it would take the whole of SQLAlchemy into the processes that read files
    from db.documents.documents import Kind

SUFFIXES: "dict[str, Kind]" = {
    ".txt": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".rst": "rst",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "docx",
    ".pptx": "pptx",
    ".xlsx": "xlsx",
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".epub": "epub",
    ".eml": "eml",
    ".zip": "zip",
    ".tar": "tar",
    ".tar.gz": "tar",
    ".tgz": "tar",
}

# Documents of these kinds are replaced by those that are in them.
ARCHIVES: "frozenset[Kind]" = frozenset({"zip", "tar"})


def kind_of(filename: str) -> "Kind | None":
    """What kind of file has such a name; None for one that isn't read here."""
    name = filename.lower()
    return next((kind for suffix, kind in SUFFIXES.items() if name.endswith(suffix) and name != suffix), None)
