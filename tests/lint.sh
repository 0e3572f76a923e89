#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lint.sh - House rules that a program can check (CONTRIBUTING.md), as TAP
#
# Looks at every file that git knows or would add; without git, at every file
# below the root. Lines that start with "# warning" are advice, not failures.
set -u
cd "$(dirname "$0")/.." || exit 99

n=0
failed=0

# result LABEL COMPLAINTS: passes if there are none
result() {
    n=$((n + 1))
    if [ -z "$2" ]; then
        echo "ok $n - $1"
    else
        failed=1
        echo "not ok $n - $1"
        printf '%s\n' "$2" | head -40 | sed 's/^/#   /'
    fi
}

skipped() {
    n=$((n + 1))
    echo "ok $n - $1 # SKIP $2"
}

# The corpus is data; the rest is made by autoreconf and configure.
not_ours='tests/fuzz/corpus/|build-aux/|autom4te.cache/|configure~?$|config\.'

list_files() {
    local found=

    # Without a repository, or with one that git mistrusts: all there is.
    [ -e .git ] && found=$(git ls-files -co --exclude-standard 2>/dev/null)
    [ -n "$found" ] || found=$(
        find . \( -name .git -o -name build -o -name __pycache__ \) -prune \
            -o -type f -printf '%P\n')
    grep -vE "^($not_ours)" <<<"$found" | while IFS= read -r file; do
        # Listed by git but deleted in the work tree.
        [ -f "$file" ] && printf '%s\n' "$file"
    done | sort
}

# with_shebang PATTERN: files whose first line matches
with_shebang() {
    for file in "${all[@]}"; do
        read -r first 2>/dev/null <"$file"
        [[ $first =~ $1 ]] && echo "$file"
    done
}

named() {
    printf '%s\n' "${all[@]}" | grep -E "$1"
}

mapfile -t all < <(list_files)
mapfile -t c_files < <(named '\.[ch]$')
mapfile -t shells < <({ named '\.sh$'; with_shebang '^#!.*[/ ](ba|da)?sh'; } |
    sort -u)
mapfile -t pythons < <({ named '\.py$'; with_shebang '^#!.*python3'; } |
    sort -u)
mapfile -t pods < <(named '\.pod$')

banned='atoi|atol|atoll|strtok|strtok_r|sscanf|strncpy|strncat|strcpy|strcat'
banned+='|sprintf|vsprintf|gets|alloca'
result "no banned calls in ${#c_files[@]} C files" "$(
    grep -nE "(^|[^A-Za-z0-9_])($banned) *\\(" "${c_files[@]}" |
        grep -vE '^[^:]+:[0-9]+: *(/?\*|//)')"

result "C lines have at most 80 columns" "$(
    grep -nE '^.{81,}$' "${c_files[@]}")"

result "no tabs and no white space at the end of C lines" "$(
    grep -nP '\t|[ \t]+$' "${c_files[@]}")"

result "every source says its licence in its first lines" "$(
    for file in "${c_files[@]}" "${shells[@]}" "${pythons[@]}" configure.ac \
        Makefile.am; do
        head -n 2 "$file" | grep -q 'SPDX-License-Identifier: ' ||
            echo "$file"
    done)"

result "every header has a guard" "$(
    for file in "${c_files[@]}"; do
        case $file in
        *.h) grep -q '^#ifndef [A-Z0-9_]*_H$' "$file" || echo "$file" ;;
        esac
    done)"

# Every C file includes config.h first: it decides what the others declare.
result "C files include config.h before anything else" "$(
    for file in "${c_files[@]}"; do
        case $file in
        *.c) grep -m 1 '^#include' "$file" | grep -q '<config.h>' ||
            echo "$file" ;;
        esac
    done)"

# SC2317: calls through "$@" and traps look unreachable to this version.
# SC2187: busybox's ash is near enough to dash. Notes are advice.
notes=
if command -v shellcheck >/dev/null; then
    said=$(shellcheck -x -e SC1091,SC2187,SC2317 -f gcc "${shells[@]}")
    notes=$(grep ': note: ' <<<"$said")
    result "shellcheck of ${#shells[@]} shell files" "$(
        grep -v ': note: ' <<<"$said")"
else
    skipped "shellcheck" "not installed"
fi

if command -v python3 >/dev/null; then
    result "${#pythons[@]} Python files parse" "$(
        for file in "${pythons[@]}"; do
            python3 -c 'import ast, sys
ast.parse(open(sys.argv[1]).read(), sys.argv[1])' "$file" 2>&1 | tail -1
        done)"
else
    skipped "python" "python3 is not installed"
fi

if [ ${#pods[@]} -eq 0 ]; then
    skipped "podchecker" "no manual pages"
elif command -v podchecker >/dev/null; then
    result "podchecker of ${#pods[@]} manual pages" "$(
        podchecker -warnings "${pods[@]}" 2>&1 | grep -v 'pod syntax OK')"
else
    skipped "podchecker" "not installed"
fi

echo "1..$n"

while IFS= read -r note; do
    [ -n "$note" ] && echo "# warning: $note"
done <<<"$notes"
# Advice: a longer file or function wants a reason in its comment.
for file in "${c_files[@]}"; do
    max=600
    [ "${file##*.}" = h ] && max=200
    lines=$(wc -l <"$file")
    [ "$lines" -gt $max ] && echo "# warning: $file has $lines lines"
done
awk 'FNR == 1 { start = 0 }
     /^{/ { start = FNR }
     /^}/ && start {
         if (FNR - start > 61)
             printf "# warning: %s:%d: function of %d lines\n",
                    FILENAME, start, FNR - start - 1
         start = 0
     }' "${c_files[@]}"
exit $failed
