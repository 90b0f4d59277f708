#!/usr/bin/env bash
# Checks the signatures of one webhook by hand, in both schemes.
#
#   export CLORO_WEBHOOK_SECRET=whsec_…
#   ./verify.sh headers.txt body.json
#
# headers.txt: the request's headers, one a line. body.json: its body, byte for byte as it came. Prints what holds, and
# ends with 0 if all that is there holds. Needs openssl. For looking at a delivery, not for a receiver: it compares in
# variable time and does not ask how old the timestamp is.
set -euo pipefail

headers=$1 body=$2

header() { sed -n "s/^$1: *\([^\r]*\).*/\1/Ip" "$headers" | tail -n 1; }
hex() { od -An -v -tx1 | tr -d ' \n'; }
# HMAC-SHA256 of standard input, in bytes; the key is in hexadecimal.
mac() { openssl dgst -sha256 -mac HMAC -macopt "hexkey:$1" -binary; }

checked=0 failed=0
check() { # what, ours, theirs: any of them
    checked=$((checked + 1))
    case " $3 " in
        *" $2 "*) echo "good: $1" ;;
        *) echo "WRONG: $1: $3, but it should be $2" && failed=1 ;;
    esac
}

if [ -n "$(header webhook-signature)" ]; then
    # Standard Webhooks: the key is what the base64 after whsec_ stands for, and the id is signed too.
    key=$(printf '%s' "${CLORO_WEBHOOK_SECRET#whsec_}" | base64 -d | hex)
    ours=$({ printf '%s.%s.' "$(header webhook-id)" "$(header webhook-timestamp)" && cat "$body"; } | mac "$key" | base64 -w 0)
    check webhook-signature "v1,$ours" "$(header webhook-signature)"
fi
if [ -n "$(header x-cloro-signature)" ]; then
    # cloro: the key is the text of the whole secret, whsec_ included.
    key=$(printf '%s' "$CLORO_WEBHOOK_SECRET" | hex)
    ours=$({ printf '%s.' "$(header x-cloro-timestamp)" && cat "$body"; } | mac "$key" | hex)
    check x-cloro-signature "v1=$ours" "$(header x-cloro-signature)"
fi
[ "$checked" -gt 0 ] || echo "no signature in $headers"
[ "$checked" -gt 0 ] && [ "$failed" = 0 ]
