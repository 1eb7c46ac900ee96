"""One definition of a call, two clients: how a coroutine method becomes a blocking and an awaitable one.

A group of calls is written once:

    class Apps(Group[M]):
        @call
        async def get(self, name: str) -> App:
            return cast("App", await self._http.call("GET", join("apps", name)))

`Apps[Sync]` then has `get(name) -> App`, and `Apps[Async]` has `get(name)` to be awaited. `@stream` does the
same for an asynchronous generator: an iterator here, an asynchronous iterator there. Inside such a method only
`self._http` is called, never another decorated method (that one may block). State: none.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from roost.sdk.wire import finish, pump

if TYPE_CHECKING:
    from roost.sdk.transport import Transport

P = ParamSpec("P")
T = TypeVar("T")


class Sync:
    """Calls return when they are answered."""


class Async:
    """Calls are awaited."""


M = TypeVar("M", Sync, Async)


class Group(Generic[M]):
    """Calls of one noun over one transport."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport


class call(Generic[P, T]):  # a decorator
    """Makes a coroutine method blocking in `Group[Sync]` and awaitable in `Group[Async]`."""

    def __init__(self, body: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]) -> None:
        self.body = body
        self.__doc__ = body.__doc__

    def __call__(self, instance: Any, *args: Any, **options: Any) -> Any:
        """Call it by the class, as in `Apps.get(apps, name)`."""
        method: Callable[..., Any] = self.__get__(instance)
        return method(*args, **options)

    @overload
    def __get__(self, instance: None, owner: type) -> call[P, T]: ...
    @overload
    def __get__(self, instance: Group[Sync], owner: type | None = None) -> Callable[P, T]: ...
    @overload
    def __get__(self, instance: Group[Async], owner: type | None = None) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Return the method of that instance."""
        if instance is None:
            return self

        @functools.wraps(self.body)
        def method(*args: Any, **options: Any) -> Any:
            coroutine = self.body(instance, *args, **options)
            return finish(coroutine) if instance._http.blocking else coroutine

        return _seen_from_outside(method, self.body)


class stream(Generic[P, T]):  # a decorator
    """Makes an asynchronous generator method an ordinary generator in `Group[Sync]`."""

    def __init__(self, body: Callable[Concatenate[Any, P], AsyncGenerator[T, None]]) -> None:
        self.body = body
        self.__doc__ = body.__doc__

    def __call__(self, instance: Any, *args: Any, **options: Any) -> Any:
        """Call it by the class, as in `Logs.read(logs, app)`."""
        method: Callable[..., Any] = self.__get__(instance)
        return method(*args, **options)

    @overload
    def __get__(self, instance: None, owner: type) -> stream[P, T]: ...
    @overload
    def __get__(self, instance: Group[Sync], owner: type | None = None) -> Callable[P, Generator[T, None, None]]: ...
    @overload
    def __get__(self, instance: Group[Async], owner: type | None = None) -> Callable[P, AsyncGenerator[T, None]]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Return the method of that instance."""
        if instance is None:
            return self

        @functools.wraps(self.body)
        def method(*args: Any, **options: Any) -> Any:
            values = self.body(instance, *args, **options)
            return pump(values) if instance._http.blocking else values

        return _seen_from_outside(method, self.body)


def _seen_from_outside(method: Any, body: Callable[..., Any]) -> Any:
    """Let `inspect.signature` and `help` show the parameters without `self`."""
    import inspect

    signature = inspect.signature(body)
    method.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])
    del method.__wrapped__
    return method
