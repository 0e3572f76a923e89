#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-xl-man.sh - xl-remus(8) says what the program does, all of it
set -u
shopt -s lastpipe # the last part of a pipe counts in this shell

src=${abs_top_srcdir:-.}
xl=${abs_top_builddir:-.}/tests/unit/xl-under-test
page=$src/docs/xl-remus.pod
[ -x "$xl" ] || { echo "Bail out! $xl is not built"; exit 1; }

n=0
failed=0
# missing LABEL: standard input lists what the page lacks
missing() {
    local lack
    lack=$(cat)
    n=$((n + 1))
    if [ -z "$lack" ]; then
        echo "ok $n - $1"
    else
        failed=1
        echo "not ok $n - $1"
        printf '%s\n' "$lack" | sed 's/^/# /'
    fi
}

# lacks PREFIX SUFFIX: of the words on standard input, those that the page
# does not have in this dress
lacks() {
    local word
    while IFS= read -r word; do
        grep -qF -e "$1$word$2" "$page" || echo "$word"
    done
}

# some: standard input must not be empty, or the test would test nothing
some() {
    grep . || echo "(nothing was found to look for)"
}

export XL_COLO_DISTRIB_XL=/bin/true
"$xl" help | grep -oE '^ remus[a-z-]*' | tr -d ' ' | some |
    lacks '=head2 xl ' '' | missing "subcommands"
"$xl" help remus-set | sed '1,/^Keys/d' | grep -oE '^[a-z-]+' | some |
    lacks '=item ' '' | missing "settings"
for c in remus remus-status remus-stop remus-report; do
    "$xl" help $c | grep -oE '^-[a-zA-Z]\b|--[a-z-]+' |
        grep -vxE -e '-h|--help' | sort -u | some | lacks 'B<' '>' |
        missing "options of xl $c"
done

grep -oE '= \{ "[a-z-]+"' "$src/tools/libxl-colo/session/outcome.c" |
    grep -oE '[a-z-]{3,}' | some | lacks '> ' '' | missing "outcomes"

for f in prim sec; do
    grep -oE '\] = "[a-z-]+"' "$src/tools/libxl-colo/session/$f.c" |
        grep -oE '[a-z-]{3,}' | some | lacks 'C<' '>' |
        missing "states, $f.c"
done

grep -ohE 'json_[a-z]+\(&?j, "[a-z_]+"' \
    "$src"/tools/libxl-colo/session/{*-status,disks}.c \
    "$src/tools/libxl-colo/failover/reunion.c" | grep -oE '"[a-z_]+"' |
    tr -d '"' | sort -u | some | while IFS= read -r key; do
        grep -qE "^=item ([a-z_]+, )*$key(,|\$)|I<$key>" "$page" ||
            echo "$key"
    done | missing "keys of the status"

grep -oE '^    \{ "[a-z-]+"' "$src/tools/xl-ext/guard.c" |
    grep -oE '[a-z-]{3,}' | some | while IFS= read -r command; do
        grep -qE "(^|[ (<])$command([,.> ]|\$)" "$page" || echo "$command"
    done | missing "guarded commands"

echo "1..$n"
exit $failed
