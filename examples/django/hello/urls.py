from django.http import HttpRequest, HttpResponse
from django.urls import path


def home(request: HttpRequest) -> HttpResponse:
    return HttpResponse("Hello from Django on Roost\n", content_type="text/plain")


urlpatterns = [path("", home)]
