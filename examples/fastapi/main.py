from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

api = FastAPI(title="Hello")


@api.get("/", response_class=PlainTextResponse)
def home() -> str:
    return "Hello from FastAPI on Roost\n"
