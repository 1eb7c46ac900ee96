"""Every row of the field's table of stacks: what is found, how it starts, on which port, and on which base."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from roost.build.detect import DictTree, bases, detect

FLASK = "from flask import Flask\napp = Flask(__name__)\n"
DJANGO = {
    "manage.py": 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "site1.settings")\n',
    "site1/__init__.py": "",
    "site1/settings.py": 'WSGI_APPLICATION = "site1.wsgi.application"\nSTATIC_ROOT = "static"\n',
    "site1/wsgi.py": "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n",
}
GUNICORN = "gunicorn --bind 0.0.0.0:$PORT --threads 8"
UVICORN = "uvicorn --host 0.0.0.0 --port $PORT --timeout-keep-alive 75"


def package(**keys: str) -> str:
    """Spell a package.json: `deps` and `dev` are words, other keys are scripts."""
    import json

    names = {key: {name: "1" for name in keys.pop(key, "").split()} for key in ("deps", "dev")}
    main = {"main": keys.pop("main")} if "main" in keys else {}
    scripts = {key.replace("_", ":"): value for key, value in keys.items()}
    return json.dumps(main | {"scripts": scripts, "dependencies": names["deps"], "devDependencies": names["dev"]})


@dataclass
class Row:
    name: str
    files: dict[str, str]
    stack: str
    framework: str
    start: str
    port: int = 8080
    buildable: bool = True
    base: str = ""
    env: dict[str, str] = field(default_factory=dict)


def vite(**more: str) -> dict[str, str]:
    return {
        "package.json": package(dev="vite", build="vite build", **more),
        "index.html": "",
        "package-lock.json": "{}",
    }


ROWS = [
    Row("flask", {"app.py": FLASK, "requirements.txt": "flask\ngunicorn\n"}, "python", "flask", f"{GUNICORN} app:app"),
    Row("fastapi", {"main.py": "import fastapi\napi = fastapi.FastAPI()\n", "requirements.txt": "fastapi[standard]"},
        "python", "fastapi", f"{UVICORN} main:api"),
    Row("django", DJANGO | {"requirements.txt": "Django>=5\n"}, "python", "django",
        f"{GUNICORN} site1.wsgi:application"),
    Row("streamlit", {"streamlit_app.py": "import streamlit as st\n", "requirements.txt": "streamlit"}, "python",
        "streamlit",
        "streamlit run streamlit_app.py --server.port $PORT --server.address 0.0.0.0 --server.headless true"),
    Row("gradio", {"app.py": "import gradio as gr\n", "requirements.txt": "gradio"}, "python", "gradio",
        "env GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=$PORT python app.py"),
    Row("fasthtml", {"main.py": "from fasthtml.common import *\napp, rt = fast_app()\n",
                     "requirements.txt": "python-fasthtml"}, "python", "fasthtml", f"{UVICORN} main:app"),
    Row("python script", {"main.py": "print('hi')\n"}, "python", "", "python main.py"),
    Row("python script with a port", {"main.py": "from http.server import *\nHTTPServer(('', 9000), None)\n"},
        "python", "", "python main.py", port=9000),
    Row("express", {"package.json": package(deps="express", start="node server.js"), "server.js": ""}, "node",
        "express", "node server.js"),
    Row("express, fixed port", {"package.json": package(deps="express", start="node server"),
                                "server.js": "app.listen(3000)"}, "node", "express", "node server", port=3000),
    Row("node main", {"package.json": package(main="lib/web.js"), "lib/web.js": ""}, "node", "", "node lib/web.js"),
    Row("node index", {"package.json": package(), "index.js": ""}, "node", "", "node index.js"),
    Row("next", {"package.json": package(deps="next react", build="next build", start="next start")}, "node", "next",
        "next start -H 0.0.0.0 -p $PORT"),
    Row("next export", {"package.json": package(deps="next", build="next build"),
                        "next.config.mjs": "export default {\n  // output: 'standalone'\n  output: 'export' }"},
        "node", "next", bases.STATIC_START, env={"ROOST_SITE": "/app/out"}),
    Row("next standalone", {"package.json": package(deps="next", build="next build"),
                            "next.config.js": "module.exports = { output: 'standalone' }"},
        "node", "next", "env HOSTNAME=0.0.0.0 node .next/standalone/server.js"),
    Row("vite", vite(), "node", "vite", bases.STATIC_START,
        env={"ROOST_SITE": "/app/dist", "ROOST_SITE_FALLBACK": "/index.html"}),
    Row("vite outDir", vite() | {"vite.config.ts": "export default { build: { outDir: './www' } }"}, "node", "vite",
        bases.STATIC_START, env={"ROOST_SITE": "/app/www"}),
    Row("vite, own server", vite(deps="express", start="node server.js"), "node", "express", "node server.js"),
    Row("create-react-app", {"package.json": package(deps="react-scripts", start="react-scripts start")}, "node",
        "create-react-app", bases.STATIC_START, env={"ROOST_SITE": "/app/build"}),
    Row("angular", {"package.json": package(deps="@angular/core", start="ng serve", build="ng build"),
                    "angular.json": '{"projects":{"shop":{"architect":{"build":{"builder":'
                                    '"@angular-devkit/build-angular:application","options":{}}}}}}'},
        "node", "angular", bases.STATIC_START, env={"ROOST_SITE": "/app/dist/shop/browser"}),
    Row("astro", {"package.json": package(deps="astro", start="astro dev", build="astro build")}, "node", "astro",
        bases.STATIC_START, env={"ROOST_SITE": "/app/dist"}),
    Row("astro ssr", {"package.json": package(deps="astro @astrojs/node", start="astro dev", build="astro build")},
        "node", "astro", "env HOST=0.0.0.0 node ./dist/server/entry.mjs"),
    Row("react-router spa", {"package.json": package(dev="@react-router/dev", build="react-router build"),
                             "react-router.config.ts": "export default { ssr: false }"}, "node", "react-router",
        bases.STATIC_START, env={"ROOST_SITE": "/app/build/client"}),
    Row("expo", {"package.json": package(deps="expo", start="expo start")}, "node", "expo", bases.STATIC_START),
    Row("remix", {"package.json": package(deps="@remix-run/node", start="remix-serve ./build/server/index.js")},
        "node", "remix", "remix-serve ./build/server/index.js"),
    Row("nuxt", {"package.json": package(deps="nuxt", build="nuxt build")}, "node", "nuxt",
        "node .output/server/index.mjs"),
    Row("nest", {"package.json": package(deps="@nestjs/core", start="nest start", start_prod="node dist/main")},
        "node", "nest", "node dist/main"),
    Row("gatsby", {"package.json": package(deps="gatsby", start="gatsby develop", build="gatsby build")}, "node",
        "gatsby", bases.STATIC_START, env={"ROOST_SITE": "/app/public"}),
    Row("adonis", {"package.json": package(deps="@adonisjs/core", start="node bin/server.js", build="node ace build")},
        "node", "adonis", "env HOST=0.0.0.0 node build/bin/server.js"),
    Row("sveltekit node", {"package.json": package(dev="@sveltejs/kit @sveltejs/adapter-node", build="vite build")},
        "node", "sveltekit", "node build"),
    Row("sveltekit static", {"package.json": package(dev="@sveltejs/kit @sveltejs/adapter-static")}, "node",
        "sveltekit", bases.STATIC_START, env={"ROOST_SITE": "/app/build"}),
    Row("tanstack", {"package.json": package(deps="@tanstack/react-start", build="vite build")}, "node",
        "tanstack-start", "node .output/server/index.mjs"),
    Row("meteor", {"package.json": package(deps="meteor-node-stubs", start="meteor run")}, "node", "meteor", "",
        buildable=False),
    Row("redwood", {"package.json": package(dev="@redwoodjs/core")}, "node", "redwood", "", buildable=False),
    Row("static", {"index.html": "<p>hi", "style.css": ""}, "static", "", bases.STATIC_START,
        env={"ROOST_SITE": "/app"}),
    Row("static in public", {"public/index.html": "<p>hi", "README.md": ""}, "static", "", bases.STATIC_START,
        env={"ROOST_SITE": "/app/public"}),
    Row("Staticfile", {"Staticfile": "root: web/site\n", "web/site/a.html": ""}, "static", "", bases.STATIC_START,
        env={"ROOST_SITE": "/app/web/site"}),
    Row("go", {"go.mod": "module a/b\n\ngo 1.19\n", "main.go": "package main\n"}, "go", "", "/usr/local/bin/app"),
    Row("go gin", {"go.mod": "module a/b\ngo 1.21\nrequire (\n\tgithub.com/gin-gonic/gin v1.9.1\n)\n",
                   "cmd/b/main.go": "// Command b.\npackage main\n"}, "go", "gin", "/usr/local/bin/app"),
    Row("go too new", {"go.mod": "module a/b\n\ngo 9.1\n", "main.go": "package main\n"}, "go", "",
        "/usr/local/bin/app", buildable=False),
    Row("rails", {"Gemfile": "source 'x'\ngem 'rails', '~> 7'\ngem \"pg\"\n", "config/application.rb": "",
                  "bin/rails": "", "config.ru": ""}, "ruby", "rails", "bundle exec rails server -b 0.0.0.0 -p $PORT"),
    Row("sinatra", {"Gemfile": "gem 'sinatra'\ngem 'puma'\n", "Gemfile.lock": "GEM\n  specs:\n    puma (6.0)\n",
                    "config.ru": "run App"}, "ruby", "sinatra", "bundle exec puma -b tcp://0.0.0.0:$PORT config.ru"),
    Row("rack", {"config.ru": "run ->(e) {}"}, "ruby", "rack", "puma -b tcp://0.0.0.0:$PORT config.ru"),
    Row("rackup", {"Gemfile": "gem 'rack'\n", "config.ru": ""}, "ruby", "rack",
        "bundle exec rackup --host 0.0.0.0 --port $PORT"),
    Row("ruby too new", {"Gemfile": 'ruby "3.4.1"\ngem "sinatra"\n', "config.ru": ""}, "ruby", "sinatra",
        "bundle exec rackup --host 0.0.0.0 --port $PORT", buildable=False),
    Row("php", {"index.php": "<?php"}, "php", "", bases.APACHE_START, env={"ROOST_DOCUMENT_ROOT": "/app"}),
    Row("laravel", {"composer.json": '{"require": {"php": "^8.2", "laravel/framework": "^11"}}', "artisan": "",
                    "public/index.php": ""}, "php", "laravel", bases.APACHE_START,
        env={"ROOST_DOCUMENT_ROOT": "/app/public"}),
    Row("php too new", {"composer.json": '{"require": {"php": "^8.9"}}', "index.php": ""}, "php", "",
        bases.APACHE_START, buildable=False),
    Row("dockerfile", {"Dockerfile": "FROM a AS b\nEXPOSE 1\nFROM c\nEXPOSE 3000/tcp\n", "package.json": "{}"},
        "dockerfile", "", "", port=3000),
    Row("rust", {"Cargo.toml": '[package]\nname = "web"\n[dependencies]\naxum = "0.7"\n', "src/main.rs": ""}, "rust",
        "axum", "./target/release/web", buildable=False),
    Row("java", {"pom.xml": "<project><artifactId>spring-boot-starter-web</artifactId></project>"}, "java",
        "spring-boot", "java -Dserver.port=$PORT -jar target/*.jar", buildable=False),
    Row("gradle", {"build.gradle": "", "gradlew": ""}, "java", "", "java -Dserver.port=$PORT -jar build/libs/*.jar",
        buildable=False),
    Row("phoenix", {"mix.exs": "def project, do: [app: :shop]\n{:phoenix, \"~> 1.7\"}"}, "elixir", "phoenix",
        "_build/prod/rel/shop/bin/shop start", buildable=False),
    Row("deno", {"deno.json": "{}", "main.ts": ""}, "deno", "", "deno run --allow-all main.ts", buildable=False),
    Row("deno by import", {"main.ts": 'import { serve } from "https://deno.land/std/http/server.ts";'}, "deno", "",
        "deno run --allow-all main.ts", buildable=False),
    Row("dotnet", {"src/Web/Web.csproj": '<Project Sdk="Microsoft.NET.Sdk.Web"></Project>'}, "dotnet", "aspnet",
        "dotnet out/Web.dll", buildable=False),
    Row("gleam", {"gleam.toml": ""}, "gleam", "", "gleam run", buildable=False),
    Row("haskell", {"stack.yaml": ""}, "haskell", "", "", buildable=False),
    Row("swift", {"Package.swift": ""}, "swift", "", "swift run", buildable=False),
    Row("crystal", {"shard.yml": ""}, "crystal", "", "bin/app", buildable=False),
    Row("dart", {"pubspec.yaml": ""}, "dart", "", "dart run bin/server.dart", buildable=False),
    Row("zig", {"build.zig": ""}, "zig", "", "zig-out/bin/app", buildable=False),
    Row("clojure", {"deps.edn": ""}, "clojure", "", "", buildable=False),
    Row("cpp", {"CMakeLists.txt": ""}, "cpp", "", "", buildable=False),
    Row("shell", {"start.sh": ""}, "shell", "", "sh start.sh", buildable=False),
    Row("scala", {"build.sbt": ""}, "scala", "", "java -Dserver.port=$PORT -jar build/libs/*.jar", buildable=False),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_stack_is_found_with_its_start_command_and_port(row: Row) -> None:
    plan = detect(DictTree(row.files))
    assert (plan.stack, plan.framework) == (row.stack, row.framework)
    assert plan.processes.get("app", "") == row.start
    assert plan.port == row.port
    assert plan.buildable is row.buildable, plan.obstacle
    assert bool(plan.obstacle) is not row.buildable
    assert plan.evidence, "every decision gives its reason"
    assert row.env.items() <= plan.env.items()


@pytest.mark.parametrize("row", [row for row in ROWS if row.buildable], ids=lambda row: row.name)
def test_a_buildable_plan_calls_only_the_tools_of_its_base(row: Row) -> None:
    plan = detect(DictTree(row.files))
    if plan.stack == "dockerfile":
        return
    commands = [*(plan.dependencies.commands if plan.dependencies else ()), *plan.build_commands]
    known = {*bases.TOOLS[plan.base], "env", "python", "if", "mkdir", "cp", "chmod", "printf", "chown"}
    for command in commands:
        words = [word for word in command.split() if "=" not in word and word != "env"]
        assert words[0] in known, f"{words[0]} is not in {plan.base}"


@pytest.mark.parametrize("row", [row for row in ROWS if row.stack in ("rust", "java", "elixir", "deno", "dotnet")])
def test_a_stack_that_is_not_built_says_what_to_do(row: Row) -> None:
    assert "Dockerfile" in detect(DictTree(row.files)).obstacle
