#!/bin/bash
# build-image.sh - build the guest kernel, initramfs and root disk for machine.py.
#
#   ./build-image.sh [--force]   prints the directory of the finished image;
#                                --force empties the cache first
#   VMRIG_FRESH=1                a Debian with nothing on it but what newcomer.py needs
#   VMRIG_SUITE=trixie           another Debian than 12
#   VMRIG_ARCH=arm64             of another architecture (this machine runs its programs by qemu-user-static)
#   VMRIG_KERNEL=arm64-16k       linux-image-THIS, where it is not the cloud kernel
#
# Three cached stages under $VMRIG_CACHE (default: ~/.cache/aio-tuned-vmrig):
#   base-<key>.tar               Debian root file system (mmdebstrap; the slow stage)
#   kernel-<suite>-<package>/    a kernel of Debian, unpacked, not installed
#   image-<key>/                 rootfs.img (sparse ext4), vmlinuz, initrd.img, manifest
# A stage is rebuilt only when what it is made from changes; what has not been used
# for two weeks (packages and saved machines: two days) is removed.  Needs root, mmdebstrap, mke2fs, python3 on the host;
# no compiler, no loop mounts, no KVM.
#
# The cloud kernel is the right one: ext4 and nvme are built in (linux-image-amd64
# has them as modules and is three times the size), and it still has null_blk,
# nvmet + nvmet-tcp, dm-delay, dm-flakey, raid, xfs and virtio as modules.
# Neither Debian kernel has nvme-loop, dm-dust or FAULT_INJECTION; the cloud
# kernel has no 9p.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${VMRIG_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/aio-tuned-vmrig}
suite=${VMRIG_SUITE:-bookworm}
native_arch=$(dpkg --print-architecture)
arch=${VMRIG_ARCH:-$native_arch}
kpkg=linux-image-${VMRIG_KERNEL:-cloud-$arch}
disk_size=${VMRIG_DISK_SIZE:-4G}

of_suite=(libaio1t64 util-linux-extra)  # fincore
[ "$suite" != bookworm ] || of_suite=(libaio1)

# What the guest has beyond Debian's "minbase".
packages=(
  systemd-sysv udev dbus kmod procps util-linux iproute2      # a booting system
  python3                                                     # the agent, the program under test
  python3-numpy python3-pyudev python3-sdnotify python3-toml  # what it depends on
  python3-systemd                                             # what its package recommends
  ansible-core python3-apt                                    # docs/ansible plays here, and its module apt
  gcc libc6-dev "${of_suite[@]}" liburing2 libudev1           # init.c; libraries of the program under test
  crun                                                        # runs containers as a Kubernetes node does
  etcd-server etcd-client openssl                             # where the nodes of a fleet meet; its certificates
  python3-cryptography python3-requests                       # what a fleet's programs need, but for etcd3gw
  e2fsprogs xfsprogs fdisk mdadm lvm2 nvme-cli smartmontools fio  # storage
  # extra packages, e.g. VMRIG_EXTRA="btrfs-progs pciutils"
  ${VMRIG_EXTRA:-}
)
# Emulated programs install a package in a second, and compile the Python of one in ten, which waits for its use:
# what test_arm64.py needs, the unit tests among it.
emulated=()
if [ "$arch" != "$native_arch" ]; then
  compiler=/usr/bin/py3compile
  emulated=(
    --essential-hook="chroot \"\$1\" dpkg-divert --quiet --add --rename --divert $compiler.later $compiler"
    --essential-hook="ln -s true \"\$1\"$compiler"
    --customize-hook="rm \"\$1\"$compiler"
    --customize-hook="chroot \"\$1\" dpkg-divert --quiet --remove --rename $compiler"
  )
  packages=(
    systemd-sysv udev dbus kmod procps util-linux mount iproute2 python3
    python3-numpy python3-pyudev python3-sdnotify python3-toml python3-systemd python3-prometheus-client
    gcc libc6-dev libaio1t64 liburing2 libudev1
    e2fsprogs xfsprogs fdisk nvme-cli
    python3-pytest python3-pytest-timeout python3-hypothesis python3-jsonschema python3-typing-extensions
    python3-cryptography python3-matplotlib python3-requests python3-rich python3-ruamel.yaml
  )
fi
# VMRIG_FRESH=1: what a newcomer has who has just installed Debian, and `sudo apt-get install git` behind him.
documented=()
if [ -n "${VMRIG_FRESH:-}" ]; then
  packages=(
    systemd-sysv udev dbus kmod procps util-linux iproute2 netbase less sudo ca-certificates git e2fsprogs man-db
    bash-completion python3  # the agent
  )
else
  # Nobody reads there.
  for folder in man doc locale i18n; do documented+=(--dpkgopt="path-exclude=/usr/share/$folder/*"); done
fi
# Nothing in a throw-away guest needs these; each costs boot time under TCG.
mask=(
  apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer
  e2scrub_reap.service fstrim.timer systemd-tmpfiles-clean.timer
  getty.target getty-static.service
  nvmefc-boot-connections.service nvmf-autoconnect.service
  systemd-networkd.service systemd-resolved.service systemd-timesyncd.service
  systemd-update-utmp.service systemd-update-utmp-runlevel.service
  systemd-random-seed.service systemd-pstore.service systemd-binfmt.service
  systemd-firstboot.service systemd-repart.service ldconfig.service
  proc-sys-fs-binfmt_misc.automount sys-fs-fuse-connections.mount dev-hugepages.mount
  smartmontools.service systemd-logind.service
)

[ "$(id -u)" = 0 ] || { echo "build-image.sh: must run as root" >&2; exit 1; }
umask 022
mkdir -p "$cache"
exec 9>"$cache/.build.lock"; flock 9
log() { echo "build-image: $*" >&2; }
key() { sha256sum | cut -c1-12; }
work=$(mktemp -d "$cache/.work.XXXXXX"); trap 'rm -rf "$work"' EXIT
[ "${1:-}" = --force ] && rm -rf "$cache"/base-*.tar "$cache"/kernel-* "$cache"/image-* "$cache"/state-*

# --- 1. base file system --------------------------------------------------
pkglist=$(printf '%s\n' "${packages[@]}" | sort -u)
base=$cache/base-$(printf '%s\n' "$suite${arch#"$native_arch"}" "$pkglist" | key).tar
if [ ! -s "$base" ]; then
  log "mmdebstrap ($suite, $(wc -l <<<"$pkglist") packages and what they need)"
  # On tmpfs when there is room: dpkg's fsyncs are most of the time otherwise.
  tmp=$work
  [ "$(df --output=avail -BM /dev/shm 2>/dev/null | tail -1 | tr -dc 0-9)" -gt 3000 ] && tmp=/dev/shm
  TMPDIR=$tmp mmdebstrap --quiet --mode=root --variant=minbase --architectures="$arch" \
    --include="$(paste -sd, <<<"$pkglist")" \
    --aptopt='APT::Install-Recommends "false"' \
    "${documented[@]}" "${emulated[@]}" \
    "$suite" "$work/base.tar" >&2
  mv "$work/base.tar" "$base"
fi

# --- 2. kernel ------------------------------------------------------------
kdir=$cache/kernel-$suite-$kpkg
if [ ! -d "$kdir" ]; then
  log "$kpkg"
  mmdebstrap --quiet --mode=root --variant=extract --architectures="$arch" --include="$kpkg" \
    --aptopt='APT::Install-Recommends "false"' "$suite" "$work/k" >&2
  mkdir "$work/kernel"
  mv "$work"/k/boot/vmlinuz-* "$work/kernel/vmlinuz"
  mv "$(find "$work/k" -path '*lib/modules' -prune -print)" "$work/kernel/modules"
  mv "$work/kernel" "$kdir"
fi
kver=$(ls "$kdir/modules")

# --- 3. image -------------------------------------------------------------
img=$cache/image-$( { echo "$base $kver $disk_size ${VMRIG_FRESH:-}"; cat "$here/build-image.sh" "$here"/guest/*; } | key)
if [ ! -s "$img/manifest.json" ]; then
  log "root disk and initramfs"
  root=$work/root; mkdir "$root" "$work/img"
  tar -xf "$base" -C "$root" --numeric-owner
  mods=$root/lib/modules/$kver; mkdir -p "$root/lib/modules"
  cp -a "$kdir/modules/$kver" "$mods"
  rm -rf "$mods"/kernel/{drivers/{gpu,infiniband,media,net/ethernet,net/wireless,target},sound,net/{netfilter,ipv6/netfilter,ipv4/netfilter,sched,wireless,mac80211}}
  chroot "$root" depmod "$kver"

  # the agent, and its unit
  install -D -m 755 "$here/guest/agent.py" "$root/usr/lib/rig/agent.py"
  install -D -m 644 "$here/guest/rig-agent.service" "$root/etc/systemd/system/rig-agent.service"
  chroot "$root" systemctl --quiet enable rig-agent.service
  chroot "$root" systemctl --quiet mask "${mask[@]}" 2>/dev/null
  [ ! -e "$root/lib/systemd/system/etcd.service" ] || chroot "$root" systemctl --quiet disable etcd.service  # the tests of a fleet start it
  chroot "$root" systemctl --quiet set-default multi-user.target

  # identity and small settings
  echo vmrig > "$root/etc/hostname"
  echo 0123456789abcdef0123456789abcdef > "$root/etc/machine-id"   # no first-boot work
  printf '127.0.0.1 localhost vmrig\n' > "$root/etc/hosts"
  printf '/dev/vda / ext4 rw,noatime 0 0\n' > "$root/etc/fstab"
  mkdir -p "$root/var/log/journal"                                 # journal survives a power cut
  mkdir -p "$root/etc/systemd/journald.conf.d"
  printf '[Journal]\nSystemMaxUse=64M\nRateLimitBurst=0\n' > "$root/etc/systemd/journald.conf.d/rig.conf"
  touch "$root/etc/.updated" "$root/var/.updated"                  # no ConditionNeedsUpdate work
  chroot "$root" passwd -d root >/dev/null 2>&1
  rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
  [ -z "${VMRIG_FRESH:-}" ] || rm -f "$root"/etc/apt/apt.conf.d/99mmdebstrap  # recommended packages are installed
  chroot "$root" python3 -I -c 'import compileall, os
compileall.compile_dir(os.path.dirname(os.__file__), quiet=2, maxlevels=1)' || true

  # initramfs: a static init and the modules between the kernel and /dev/vda
  into=(chroot "$root"); init=/tmp/init
  [ -z "${VMRIG_FRESH:-}" ] || { into=(env); init=$root/tmp/init; }  # no compiler there
  "${into[@]}" gcc -O2 -Wall -static -x c -o "$init" - < "$here/guest/init.c"
  chroot "$root" sh -c "for m in virtio_pci virtio_blk virtio_console virtio_rng ext4; do
      modprobe -S $kver --show-depends \$m; done" | awk '$1 == "insmod" && !seen[$2]++ {print $2}' > "$work/order"
  python3 - "$root" "$work/order" "$work/img/initrd.img" <<'PY'
import lzma, os, sys
root, order, out = sys.argv[1:]
blob, ino = bytearray(), 0
def entry(name, mode, data=b"", rdev=(0, 0)):
    """One member of a "newc" cpio archive."""
    global ino
    ino += 1
    fields = [ino, mode, 0, 0, 1, 0, len(data), 0, 0, *rdev, len(name) + 1, 0]
    blob.extend(b"070701" + b"".join(b"%08X" % f for f in fields) + name.encode() + b"\0")
    blob.extend(b"\0" * (-len(blob) % 4)); blob.extend(data); blob.extend(b"\0" * (-len(blob) % 4))
def read(path):
    with open(root + path, "rb") as f:
        return f.read()
def module(path):
    """The module as the init loads it: Debian 13 compresses its own."""
    return (os.path.basename(path.removesuffix(".xz")), lzma.decompress(read(path)) if path.endswith(".xz") else read(path))
modules = [module(path) for path in open(order).read().split()]
entry("dev", 0o40755); entry("dev/console", 0o20600, rdev=(5, 1)); entry("mod", 0o40755)
entry("init", 0o100755, read("/tmp/init"))
for name, data in modules:
    entry("mod/" + name, 0o100644, data)
entry("mod/order", 0o100644, "".join(name + "\n" for name, _ in modules).encode())
entry("TRAILER!!!", 0)
with open(out, "wb") as f:
    f.write(blob)
PY
  rm "$root/tmp/init"
  cp "$kdir/vmlinuz" "$work/img/vmlinuz"
  truncate -s "$disk_size" "$work/img/rootfs.img"
  mke2fs -q -F -t ext4 -L rigroot -E lazy_itable_init=1,lazy_journal_init=1,nodiscard \
    -d "$root" "$work/img/rootfs.img" 2>&1 | grep -v '^$' >&2 || true
  python3 - "$work/img/manifest.json" "$arch" "$kver" "$(basename "$base")" <<PY
import json, sys
json.dump({"architecture": sys.argv[2], "kernel": sys.argv[3], "base": sys.argv[4], "packages": """$pkglist""".split()},
          open(sys.argv[1], "w"), indent=1)
PY
  rm -rf "$img"; mv "$work/img" "$img"
fi
touch "$img" "$base" "$kdir"
# Of older versions of the tests, and of the tree: a day's changes to it make 20 GB of packages and saved states.
find "$cache" -maxdepth 1 \( -name 'image-*' -o -name 'base-*' -o -name 'kernel-*' \) \
  -mtime +14 ! -path "$img" ! -path "$base" ! -path "$kdir" -exec rm -rf {} +
find "$cache" -maxdepth 1 \( -name 'state-*' -o -name 'product-*' \) -mtime +1 -exec rm -rf {} +
echo "$img"
