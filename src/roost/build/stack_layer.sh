# Adds Debian packages to a base image's layers: run by /bin/sh in a mount namespace of its own, which takes
# all the mounts made here with it when it ends, however it ends.
# usage: stack_layer.sh LOWERDIRS UPPER WORK MERGED PACKAGE...
set -eu
lower=$1 upper=$2 work=$3 root=$4
shift 4
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive HOME=/root
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$upper,workdir=$work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
cp /etc/resolv.conf "$root/etc/resolv.conf"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" # no service starts while it is installed
chmod 755 "$root/usr/sbin/policy-rc.d"
chroot "$root" apt-get -q -o Acquire::Retries=3 update
chroot "$root" apt-get -q -y --no-install-recommends -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 install "$@"
chroot "$root" apt-get clean
: >"$root/etc/resolv.conf"
rm -f "$root/usr/sbin/policy-rc.d"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/cache/debconf/*-old \
  "$root"/var/lib/dpkg/*-old "$root"/var/cache/ldconfig/aux-cache "$root"/var/log/* "$root"/tmp/*
