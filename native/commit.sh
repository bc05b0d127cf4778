#!/bin/sh
# Prints the commit of this tree for `aio-tuned --version`, with "-dirty" after a change; "unknown" without git.
# AIO_TUNED_COMMIT in the environment replaces it: it names the commit of a copy of the tree, which has no .git.
cd "$(dirname "$0")/.." || exit
if [ -n "${AIO_TUNED_COMMIT:-}" ]; then
    echo "$AIO_TUNED_COMMIT"
elif [ -e .git ]; then # the tree may lie in another repository, whose commit says nothing
    # Root builds in the clone of a user, which git refuses otherwise.
    git -c 'safe.directory=*' describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null || echo unknown
else
    echo unknown
fi
