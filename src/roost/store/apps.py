"""Rows of apps, their releases and their secrets."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from roost.model.app import App, Release, ReleaseState
from roost.model.app_config import AppConfig
from roost.model.app_config_read import app_config_from_json, app_config_to_json
from roost.model.errors import NameTaken, NotFound
from roost.store.data_keys import remove_of_app
from roost.store.database import Database
from roost.store.identity import end_of_app
from roost.store.schema import (
    apps,
    autoscale_decisions,
    autoscale_policies,
    certificates,
    destroyed,
    empty_groups,
    events,
    ip_assignments,
    leases,
    machines,
    network_policies,
    operations,
    progress,
    public_ports,
    releases,
    runs,
    secret_keys,
    secrets,
    updates,
    versions,
)


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """A secret as stored: encrypted, with a digest that tells whether two values are equal."""

    name: str
    sealed: bytes
    digest: str
    created_at: float
    updated_at: float


def _app(row: Row[tuple[object, ...]]) -> App:
    return App(**row._mapping)


class Apps:
    """Apps by name."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def find(self, name: str) -> App | None:
        """Return an app or None."""
        with self._db.read() as connection:
            row = connection.execute(select(apps).where(apps.c.name == name)).first()
            return _app(row) if row else None

    def get(self, name: str) -> App:
        """Return an app; raises NotFound."""
        app = self.find(name)
        if app is None:
            raise NotFound(f"app not found: {name[:80]!r}", hint="`roost apps list` shows the apps")
        return app

    def create(self, *, name: str, app_id: str, org: str, network: str, now: float, role: str = "") -> App:
        """Add an app; raises NameTaken."""
        with self._db.write() as connection:
            number = (connection.execute(select(func.max(apps.c.number))).scalar() or 0) + 1
            app = App(app_id, name, org, network, number, 0, now, role)
            try:
                connection.execute(insert(apps).values(**asdict(app)))
            except IntegrityError:
                raise NameTaken(
                    f"Name has already been taken: {name!r}",
                    hint="choose another name, or deploy to the app that has it: roost deploy -a " + name,
                ) from None
        return app

    def orgs(self) -> frozenset[str]:
        """Return the orgs that have apps."""
        with self._db.read() as connection:
            return frozenset(connection.execute(select(apps.c.org).distinct()).scalars())

    def ids(self, names: Collection[str]) -> dict[str, str]:
        """Return the ids of those of these apps that there are, by name."""
        with self._db.read() as connection:
            return {row.name: row.id for row in connection.execute(select(apps).where(apps.c.name.in_(names)))}

    def names(self, ids: Collection[str]) -> frozenset[str]:
        """Return the names of those that there are of the apps with these ids."""
        with self._db.read() as connection:
            return frozenset(connection.execute(select(apps.c.name).where(apps.c.id.in_(ids))).scalars())

    def remove(self, name: str, *, now: float) -> None:
        """Remove an app and all rows that belong to it; tokens for it are void from now on."""
        with self._db.write() as connection:
            connection.execute(
                delete(progress).where(
                    progress.c.operation.in_(select(operations.c.id).where(operations.c.app == name))
                )
            )
            own = select(machines.c.id).where(machines.c.app == name)
            for by_machine in (leases, updates, versions):
                connection.execute(delete(by_machine).where(by_machine.c.machine_id.in_(own)))
            for table in (
                machines,
                destroyed,
                events,
                releases,
                runs,
                secrets,
                secret_keys,
                certificates,
                operations,
                network_policies,
                ip_assignments,
                public_ports,
                autoscale_policies,
                autoscale_decisions,
                empty_groups,
            ):
                connection.execute(delete(table).where(table.c.app == name))
            remove_of_app(connection, name)
            for app_id in connection.execute(select(apps.c.id).where(apps.c.name == name)).scalars().all():
                end_of_app(connection, app_id, now)
            connection.execute(delete(apps).where(apps.c.name == name))

    def count(self) -> int:
        """Return how many apps there are."""
        with self._db.read() as connection:
            return connection.execute(select(func.count()).select_from(apps)).scalar_one()

    def list(self, org: str | None = None) -> list[App]:
        """Return all apps by name, or those of one org."""
        query = select(apps).order_by(apps.c.name)
        if org is not None:
            query = query.where(apps.c.org == org)
        with self._db.read() as connection:
            return [_app(row) for row in connection.execute(query)]


class Releases:
    """Releases by app and version."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(
        self,
        app: str,
        *,
        image_digest: str,
        image_reference: str,
        config: AppConfig,
        processes: dict[str, str],
        reason: str,
        now: float,
    ) -> Release:
        """Add the next version in state ROLLING."""
        with self._db.write() as connection:
            last = connection.execute(select(func.max(releases.c.version)).where(releases.c.app == app)).scalar() or 0
            connection.execute(
                insert(releases).values(
                    app=app,
                    version=last + 1,
                    image_digest=image_digest,
                    image_reference=image_reference,
                    config=app_config_to_json(config),
                    processes=processes,
                    state=ReleaseState.ROLLING.value,
                    reason=reason,
                    created_at=now,
                )
            )
        return self.get(app, last + 1)

    def get(self, app: str, version: int) -> Release:
        """Return one release; raises NotFound."""
        query = select(releases).where(releases.c.app == app, releases.c.version == version)
        with self._db.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise NotFound(f"app {app} has no release v{version}", hint="`roost releases` lists them")
        return _release(row)

    def set_state(self, app: str, version: int, state: ReleaseState, reason: str) -> None:
        """Say how a release ended."""
        with self._db.write() as connection:
            connection.execute(
                update(releases)
                .where(releases.c.app == app, releases.c.version == version)
                .values(state=state.value, reason=reason)
            )

    def image_digests(self, latest: int) -> set[str]:
        """Return the digests of the images that each app's `latest` newest releases name."""
        rank = func.row_number().over(partition_by=releases.c.app, order_by=releases.c.version.desc())
        ranked = select(releases.c.image_digest, rank.label("rank")).subquery()
        with self._db.read() as connection:
            query = select(ranked.c.image_digest).where(ranked.c.rank <= latest).distinct()
            return set(connection.execute(query).scalars())

    def list(self, app: str) -> list[Release]:
        """Return an app's releases, newest first."""
        query = select(releases).where(releases.c.app == app).order_by(releases.c.version.desc())
        with self._db.read() as connection:
            return [_release(row) for row in connection.execute(query)]


def _release(row: Row[tuple[object, ...]]) -> Release:
    data = dict(row._mapping)
    data["config"] = app_config_from_json(data["config"])
    data["state"] = ReleaseState(data["state"])
    return Release(**data)


class Secrets:
    """Sealed secrets by app and name. Values are encrypted before they come here."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def set(self, app: str, values: dict[str, tuple[bytes, str] | None], now: float) -> int:
        """Store (sealed, digest) per name, remove those that are None; returns the app's new secrets version."""
        with self._db.write() as connection:
            for name, value in values.items():
                old = connection.execute(
                    select(secrets.c.created_at).where(secrets.c.app == app, secrets.c.name == name)
                ).scalar()
                connection.execute(delete(secrets).where(secrets.c.app == app, secrets.c.name == name))
                if value is not None:
                    connection.execute(
                        insert(secrets).values(
                            app=app,
                            name=name,
                            sealed=value[0],
                            digest=value[1],
                            created_at=now if old is None else old,
                            updated_at=now,
                        )
                    )
            connection.execute(
                update(apps).where(apps.c.name == app).values(secrets_version=apps.c.secrets_version + 1)
            )
            return int(connection.execute(select(apps.c.secrets_version).where(apps.c.name == app)).scalar_one())

    def list(self, app: str) -> list[SealedSecret]:
        """Return an app's secrets by name."""
        columns = (secrets.c.name, secrets.c.sealed, secrets.c.digest, secrets.c.created_at, secrets.c.updated_at)
        query = select(*columns).where(secrets.c.app == app).order_by(secrets.c.name)
        with self._db.read() as connection:
            return [SealedSecret(**row._mapping) for row in connection.execute(query)]
