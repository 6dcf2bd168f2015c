#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# What the translator's border runs while the guest's vector state is in the host's registers calls
# nothing of the C library that may use them (translator/helpers.def): no mem*, str*, printf, malloc.
#
#   check-general-regs.sh BUILD-DIR
cd "$1" || exit 1
bad=0 seen=0
for name in border border-insn border-memory quick state walk exception segment far exec-syscall exec-bits exec-stack; do
    for o in $(find translator/libborder.a.p cpu-x86/libcpu-x86-general.a.p -name "$name.c.o"); do
        seen=$((seen + 1))
        calls=$(nm -u "$o" | awk '{print $2}' | grep -E '^(mem|str(cpy|len|chr|cmp|n|s)|.*printf|malloc|calloc|g_malloc|g_new)' | tr '\n' ' ')
        if [ -n "$calls" ]; then
            echo "$o calls $calls"
            bad=1
        fi
        # ... and has no vector instruction itself
        if objdump -d "$o" | grep -qE '%[xyz]mm[0-9]'; then
            echo "$o uses vector registers"
            bad=1
        fi
    done
done
if [ "$seen" -lt 12 ]; then
    echo "only $seen of 12 objects found"
    bad=1
fi
exit $bad
