# SPDX-License-Identifier: GPL-2.0-or-later
# A Go program at work (gojq): parsing, sorting, grouping, big numbers, garbage to collect.
[.[] | {n, text: (.text | ascii_upcase), square: (.n * .n)}]
| (map(.square) | add), (map(.n) | sort | .[0:5]), (group_by(.text[0:1]) | map({key: .[0].text[0:1], n: length})),
  ([range(200)] | reduce .[] as $i (1; . * ($i + 1))), ([limit(2000; repeat("ab"))] | join("") | length),
  (map(.text | test("^[A-M].*[0-9]$")) | map(select(.)) | length), ([range(3000) | tostring | explode | add] | add),
  (map(.text | @base64) | sort | .[0:3]), (tojson | length)
