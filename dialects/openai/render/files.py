"""Files and uploads in OpenAI's words."""

from typing import Annotated, Literal, NotRequired, TypedDict

from dialects.named import FILE, PART, UPLOAD
from tasks.files.files import FileView
from tasks.files.uploads import PartView, UploadView

Purpose = Literal[
    "assistants",
    "assistants_output",
    "batch",
    "batch_output",
    "fine-tune",
    "fine-tune-results",
    "vision",
    "user_data",
    "evals",
]


class OpenAIFile(TypedDict):
    """A file that is kept."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    expires_at: NotRequired[Annotated[int, "Not there where it doesn't expire."]]
    filename: str
    purpose: Purpose
    status: Annotated[Literal["processed"], "Of a file that is there."]
    status_details: NotRequired[Annotated[str, "Never there: nothing fails once a file is kept."]]


class OpenAIFileList(TypedDict):
    object: Literal["list"]
    data: list[OpenAIFile]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedFile(TypedDict):
    id: str
    object: Literal["file"]
    deleted: bool


class OpenAIUpload(TypedDict):
    """A file that comes in parts."""

    id: str
    object: Literal["upload"]
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    status: Literal["pending", "completed", "cancelled", "expired"]
    file: Annotated[OpenAIFile | None, "Once it is completed."]


class UploadPart(TypedDict):
    id: str
    object: Literal["upload.part"]
    created_at: int
    upload_id: str


def file(found: FileView) -> OpenAIFile:
    told: OpenAIFile = {
        "id": FILE.show(found.id),
        "object": "file",
        "bytes": found.bytes,
        "created_at": int(found.created_at.timestamp()),
        "filename": found.filename,
        "purpose": found.purpose,  # type: ignore[typeddict-item]  # one of them, as all that are made
        "status": "processed",
    }
    if found.expires_at is not None:
        told["expires_at"] = int(found.expires_at.timestamp())
    return told


def listed(found: list[FileView], more: bool) -> OpenAIFileList:
    data = [file(one) for one in found]
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": more}


def upload(found: UploadView) -> OpenAIUpload:
    return {
        "id": UPLOAD.show(found.id),
        "object": "upload",
        "bytes": found.bytes,
        "created_at": int(found.created_at.timestamp()),
        "expires_at": int(found.expires_at.timestamp()),
        "filename": found.filename,
        "purpose": found.purpose,
        "status": found.status,
        "file": file(found.file) if found.file else None,
    }


def part(found: PartView) -> UploadPart:
    return {
        "id": PART.show(found.id),
        "object": "upload.part",
        "created_at": int(found.created_at.timestamp()),
        "upload_id": UPLOAD.show(found.upload_id),
    }
