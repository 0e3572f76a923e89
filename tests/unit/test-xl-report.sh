#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-xl-report.sh - xl remus-report as it is called
set -u

xl=${abs_top_builddir:-.}/tests/unit/xl-under-test
logs=$(cd "${abs_top_srcdir:-.}/tests/unit/report" && pwd)
[ -x "$xl" ] || { echo "Bail out! $xl is not built"; exit 1; }
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

n=0
failed=0
ok() { # ok STATUS LABEL
    n=$((n + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $n - $2"
    else
        failed=1
        echo "not ok $n - $2"
        sed 's/^/# err: /' err
    fi
}

run() { # run ARGUMENTS...: output in out and err, exit status in $status
    "$xl" remus-report "$@" >out 2>err
    status=$?
}

# refused STATUS SENTENCE ARGUMENTS...: and nothing on standard output
refused() {
    local want=$1 sentence=$2
    shift 2
    run "$@"
    [ "$status" -eq "$want" ] && ! [ -s out ] &&
        [ "$(head -1 err)" = "xl remus-report: $sentence" ]
    ok $? "$sentence"
}

run "$logs/colo-a.events" "$logs/colo-b.events"
[ "$status" -eq 0 ] && ! [ -s err ] && cmp -s out "$logs/colo.svg"
ok $? "two logs to standard output"
run "$logs/remus.events" -o picture.svg
[ "$status" -eq 0 ] && ! [ -s out ] && cmp -s picture.svg "$logs/remus.svg"
ok $? "one to a file"

refused 2 'which event log?'
refused 2 'at most 8 logs' 1 2 3 4 5 6 7 8 9
refused 2 '--domain : no domain has such a name' --domain '' log
refused 1 'none: No such file or directory' none
refused 1 '/tmp is no file' /tmp
refused 1 '/dev/null is no file' /dev/null
: >empty
refused 1 'empty: no event' empty
refused 1 "$logs/remus.events: no event of db" --domain db \
    "$logs/remus.events"

{ cat "$logs/remus.events"; echo garbage; } >bad
refused 1 'bad:70: not JSON (--lenient skips such lines)' bad -o kept
[ ! -e kept ]
ok $? "no picture was begun"
run --lenient bad
[ "$status" -eq 0 ] && grep -q '^</svg>$' out &&
    grep -q '1 lines made no sense and were skipped' err &&
    grep -q '1 lines made no sense and were skipped' out
ok $? "--lenient: drawn, and both say how many were skipped"
refused 1 '/nowhere/x: No such file or directory' \
    -o /nowhere/x "$logs/remus.events"
if [ -w /dev/full ]; then
    refused 1 "/dev/full can't be written: No space left on device" \
        -o /dev/full "$logs/remus.events"
fi

# ---- docs/events.md says what is written and read ---------------------------

src=$(cd "${abs_top_srcdir:-.}" && pwd)
page=$src/docs/events.md
session=$src/tools/libxl-colo/session

# documented LABEL: every word on standard input stands in the page as `word`
documented() {
    local word missing='' some=''
    while IFS= read -r word; do
        some=1
        grep -qF "\`$word\`" "$page" || missing="$missing $word"
    done
    echo "missing:${missing:- nothing, nor was there anything}" >err
    [ -n "$some" ] && [ -z "$missing" ]
    ok $? "docs/events.md: $1"
}

line_c=$src/tools/xl-ext/report-line.c
documented "kinds that are read" < <(
    sed -n '/kinds\[REPORT_OTHER\]/,/^};/p' "$line_c" |
        grep -oE '"[a-z]+"' | tr -d '"')
documented "keys that are read" < <(
    grep -oE '^    (NUMBER|WORDS)\([a-z_]+' "$line_c" | sed 's/.*(//')
documented "kinds that are written" < <(
    grep -hoE 'begin\(&ev?, (p, )?"[a-z]+"' "$session"/*.c |
        grep -oE '"[a-z]+"' | tr -d '"' | sort -u)
documented "keys that are written" < <(
    grep -hoE 'event_(str|uint)\((&ev?|e), "[a-z_]+"' "$session"/*.c |
        grep -oE '"[a-z_]+"' | tr -d '"' | sort -u)
documented "causes" < <(
    sed -n '/cause_names\[\] = {/,/^};/p' "$session/policy.c" |
        grep -oE '"[a-z]+"' | tr -d '"' | grep -vx nothing)
documented "reasons of modes" < <(
    sed -n '/^} whys\[\] = {/,/^};/p' "$session/policy.c" |
        grep -oE '\{ "[a-z-]+"' | grep -oE '[a-z-]+' | grep -vx stay)

echo "1..$n"
exit $failed
