#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-corpus.sh - Replay every committed fuzz input through its target
#
# The folder tests/fuzz/corpus/NAME belongs to tests/fuzz/fuzz-NAME. Where a
# program make-NAME-corpus exists, the folder must hold all that it writes. A
# file "found-*" comes from the fuzzer: it reaches what the others do not.
set -u
: "${abs_top_srcdir:?}" "${abs_top_builddir:?}"

n=0
rc=0
tmp=$(mktemp -d) || exit 99
trap 'rm -rf "$tmp"' EXIT

# check WHAT COMMAND...: one line of TAP; the command's words only if it fails
check() {
    what=$1
    shift
    n=$((n + 1))
    if "$@" >"$tmp/log" 2>&1; then
        echo "ok $n - $what"
    else
        rc=1
        echo "not ok $n - $what"
        sed 's/^/# /' "$tmp/log"
    fi
}

# same_seeds MAKER FOLDER: the maker's files are in the folder, unchanged
same_seeds() {
    rm -rf "$tmp/seeds"
    mkdir "$tmp/seeds" || return 1
    "$1" "$tmp/seeds" || return 1
    for seed in "$tmp/seeds"/*; do
        cmp "$seed" "$2/${seed##*/}" || return 1
    done
}

for dir in "$abs_top_srcdir"/tests/fuzz/corpus/*; do
    name=${dir##*/}
    for file in "$dir"/*; do
        check "$name ${file##*/}" \
            "$abs_top_builddir/tests/fuzz/fuzz-$name" "$file"
    done
    maker=$abs_top_builddir/tests/fuzz/make-$name-corpus
    [ -x "$maker" ] && check "$name seeds are current" same_seeds \
        "$maker" "$dir"
done
echo "1..$n"
exit $rc
