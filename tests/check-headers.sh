#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Every header compiles alone.  Usage: check-headers.sh SOURCE-ROOT "CC and flags"
set -u
cd "$1" || exit 1
bad=0
n=0
for h in $(find softmmu cpu-x86 hw translator hwaccel pv monitor tests -name '*.h' ! -path 'tests/guest/*'); do
    n=$((n + 1))
    if ! $2 -fsyntax-only -Wno-unused -I. -include "$h" -x c /dev/null; then
        echo "$h does not compile alone"
        bad=$((bad + 1))
    fi
done
echo "$n headers, $bad problems"
[ "$bad" -eq 0 ] && [ "$n" -gt 0 ]
