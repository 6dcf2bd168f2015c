# SPDX-License-Identifier: GPL-2.0-or-later
# A busybox at work: its shell, processes, pipes, text.
i=0; sum=0; text=
add() { sum=$((sum + $1 * 3 % 7)); }
while [ $i -lt 300 ]; do
    add $i
    case $i in *00) text="$text $(echo $i)";; *5) text=${text#x};; esac
    i=$((i + 1))
done
echo "sum $sum text $text"
"$1" seq 1 2000 | "$1" awk '{ s += $1 * $1; t = t substr($1, 1, 1) } END { print s, length(t) }'
"$1" seq 1 500 | "$1" sort -r | "$1" head -n 40 | "$1" md5sum
"$1" seq 1 3000 | "$1" gzip -c | "$1" gunzip -c | "$1" sha256sum
"$1" seq 1 300 | "$1" sed -n 's/\([0-9]\)\([0-9]\)$/\2-\1/p' | "$1" tr 0-4 a-e | "$1" sha1sum
(for k in 1 2 3 4 5 6; do (exit $k) & done; wait; echo waited)
"$1" expr 12345 \* 678
"$1" printf '%s %05d %x\n' end 42 255
