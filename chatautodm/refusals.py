"""How the web server says no where no view does: problem JSON to the API's callers, Django's pages to people."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt

from queueops.problems import refuse


def no_nul(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    """A middleware: no address holds NUL, which PostgreSQL refuses to be asked for, so it is nobody's."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        if "\0" not in request.path_info:
            return get_response(request)
        if _is_for_the_api(request):
            return unknown_address(request)
        raise Http404("No address holds the character NUL.")

    return answer


@csrf_exempt
def unknown_address(request: HttpRequest) -> HttpResponse:
    """Every address under /api/ that is none."""
    return refuse(HTTPStatus.NOT_FOUND, "The API has no such address. Those that it has are under /api/docs.")


def no_page(request: HttpRequest, content_type_id: str, object_id: str) -> HttpResponse:
    """In place of Django's "view on site", which takes any text for a key and fails; no row of ours has such a page."""
    raise Http404("There are no pages but the console's own.")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """What Django itself refuses: a host name that is not ours, too many parameters."""
    if _is_for_the_api(request):
        return refuse(HTTPStatus.BAD_REQUEST, "The request cannot be read: its host name, its parameters or its form.")
    return defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """An error of our own."""
    if _is_for_the_api(request):
        return refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "An error of our own; it is in the log.")
    return defaults.server_error(request)


def _is_for_the_api(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/")
