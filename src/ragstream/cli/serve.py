"""``ragstream serve``: the server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["serve"]


def serve(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Documents and folders to answer from.", show_default=False)
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on. Default: 127.0.0.1, which needs no key.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on. Default: 8000.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where index, history and logs are kept. Default: ./.ragstream.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes. More than one needs the Redis log.")] = None,
) -> None:
    """Answer questions from your documents, at a page and over HTTP.

    The page opens at once; documents are read meanwhile, and again only if they changed.
    """
    from ragstream.bootstrap.shared_log import require_redis
    from ragstream.settings import load

    flags = {"host": host, "port": port, "data_dir": data_dir, "workers": workers}
    settings = load({name: value for name, value in flags.items() if value is not None})
    require_redis(settings)  # what is told at once need not wait for all the rest to be loaded
    from ragstream.bootstrap import server

    server.run(settings, paths or [])
