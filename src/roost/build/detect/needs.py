"""Which managed services an app seems to use, judged by the client libraries it depends on. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from roost.build.detect.candidate import Story
from roost.build.detect.python_packages import PythonPackages

PYTHON = {
    "postgres": ("psycopg", "psycopg2", "psycopg2-binary", "psycopg-binary", "asyncpg", "pg8000", "aiopg"),
    "mysql": ("mysqlclient", "pymysql", "aiomysql", "asyncmy", "mysql-connector-python"),
    "redis": (
        "redis",
        "django-redis",
        "hiredis",
        "aioredis",
        "rq",
        "django-rq",
        "arq",
        "channels-redis",
        "flask-redis",
    ),
    "bucket": ("boto3", "aioboto3", "minio", "s3fs", "django-storages", "aiobotocore"),
}
NODE = {
    "postgres": ("pg", "postgres", "pg-promise", "@neondatabase/serverless", "@prisma/adapter-pg", "slonik", "pg-pool"),
    "mysql": ("mysql", "mysql2", "mariadb"),
    "redis": ("redis", "ioredis", "@redis/client", "bull", "bullmq", "connect-redis", "bee-queue"),
    "bucket": ("@aws-sdk/client-s3", "aws-sdk", "minio", "multer-s3", "@aws-sdk/lib-storage"),
}
RUBY = {
    "postgres": ("pg",),
    "mysql": ("mysql2", "trilogy"),
    "redis": ("redis", "redis-client", "sidekiq", "resque", "hiredis"),
    "bucket": ("aws-sdk-s3", "fog-aws"),
}
GO = {
    "postgres": ("github.com/lib/pq", "github.com/jackc/pgx", "gorm.io/driver/postgres"),
    "mysql": ("github.com/go-sql-driver/mysql", "gorm.io/driver/mysql"),
    "redis": ("github.com/redis/go-redis", "github.com/go-redis/redis", "github.com/gomodule/redigo"),
    "bucket": ("github.com/aws/aws-sdk-go", "github.com/aws/aws-sdk-go-v2/service/s3", "github.com/minio/minio-go"),
}  # fmt: skip
PHP = {
    "postgres": ("ext-pgsql", "ext-pdo_pgsql"),
    "mysql": ("ext-mysqli", "ext-pdo_mysql"),
    "redis": ("predis/predis", "ext-redis", "phpredis/phpredis"),
    "bucket": ("aws/aws-sdk-php", "league/flysystem-aws-s3-v3"),
}


def needed(names: Iterable[str], clients: Mapping[str, tuple[str, ...]], file: str, story: Story) -> None:
    """Note every service one of whose client libraries is among `names`; `file` is where they stand."""
    present = set(names)
    for service, libraries in clients.items():
        for library in libraries:
            if library in present:
                story.need(service, f"{file} names {library}")
                break


def python_needs(packages: PythonPackages, story: Story) -> None:
    """Note the services of a Python project."""
    for service, libraries in PYTHON.items():
        for library in libraries:
            if library in packages.names:
                story.need(service, f"{packages.source[library]} names {library}")
                break
    if "redis" in packages.extras.get("celery", ()):
        story.need("redis", "celery is used with redis")
