#!/bin/sh
# The [read] settings of the drive that a path is on: eval "$(sh aio_settings.sh PATH [SYS [PROFILES]])"
wanted='(block_size|queue_depth|io_parallelism)=[0-9]+|(overlap_events|single_submit)=(true|false)'
section() { sed -n "/^\[$2\]\$/,/^\[/p" "$1"; }

number=$(stat -L -c %d "$1") || number=0
disk=${2:-/sys}/dev/block/$((number >> 8 & 0xfff)):$((number & 0xff | number >> 12 & 0xfff00))
[ -e "$disk/partition" ] && disk=$disk/.. # the kernel follows the link first: the partition's disk
wwid=$(cat "$disk/wwid") || wwid=none
for file in "${3:-/etc/aio-tuned}"/*.toml; do
    case $(sed -n '/^\[/q; /^schema = /p' "$file" 2>&1) in
    'schema = 1' | 'schema = 2') ;;
    *) continue ;;
    esac
    section "$file" device | grep -qxF "id = \"$wwid\"" || continue
    found=$(section "$file" read | sed 's/ = /=/' | grep -xE "$wanted")
    [ "$(echo "$found" | wc -l)" -eq 5 ] && echo "$found" && exit
done
printf '%s\n' block_size=1048576 queue_depth=8 io_parallelism=1 overlap_events=true single_submit=false
