"""Documents: listed, added, opened, removed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, File, Request, UploadFile
from starlette.responses import Response

from ragstream.api.bounded import BoundedRoute
from ragstream.api.caller import Parts, authenticated, library_of
from ragstream.api.described import Responses, problems, returns
from ragstream.api.replies import DocumentList, DocumentText, reply
from ragstream.errors import BadRequest, BodyTooLarge, NotFound
from ragstream.knowledge.base import Document

__all__ = ["router"]

router = APIRouter(
    prefix="/api/v1/documents",
    tags=["documents"],
    dependencies=[Depends(authenticated)],
    default_response_class=Response,
    route_class=BoundedRoute,
)


_GONE: Responses = {204: {"description": "It is gone"}}


@router.get("", responses=returns(DocumentList, "The documents") | problems(404))
async def list_documents(parts: Parts) -> Response:
    """List the documents, how much is known, and how far their reading has come."""
    library = library_of(parts)
    documents, size = await library.knowledge.documents(), await library.knowledge.size()
    return reply(DocumentList(documents=documents, size=size, ingest=library.status()))


@router.post(
    "",
    status_code=201,
    responses=returns(Document, "The document", status=201) | problems(404, 413, 415, 422, 507),
)
async def add_document(parts: Parts, request: Request, file: Annotated[UploadFile, File()]) -> Response:
    """Read and index one file; it can be asked about when this returns."""
    if len((await request.form()).getlist("file")) > 1:  # the framework would take the last of them
        raise BadRequest("A request takes one file: send each in a request of its own.")
    limit = parts.settings.upload_max
    if file.size is None or file.size > limit:
        raise BodyTooLarge(f"The file is larger than the limit of {limit} bytes.")
    document = await library_of(parts).add(file.filename or "", await file.read())
    return reply(document, 201)


@router.get("/{document_id}/text", responses=returns(DocumentText, "The text") | problems(404))
async def document_text(parts: Parts, document_id: str) -> Response:
    """Open a document's text, in which sources have their place."""
    knowledge = library_of(parts).knowledge
    document, text = await knowledge.document(document_id), await knowledge.text(document_id)
    if document is None or text is None:
        raise NotFound("There is no such document.")
    return reply(DocumentText(id=document.id, title=document.title, uri=document.uri, text=text))


@router.delete("/{document_id}", status_code=204, responses=_GONE | problems(404, 507))
async def remove_document(parts: Parts, document_id: str) -> Response:
    """Remove a document and its chunks."""
    if not await library_of(parts).knowledge.remove(document_id):
        raise NotFound("There is no such document.")
    return Response(status_code=204)
