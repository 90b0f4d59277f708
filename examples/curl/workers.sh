#!/usr/bin/env bash
# Answers now: as many workers as the account has free slots.
#
#   export CLORO_API_KEY=sk_live_… CLORO_BASE_URL=http://127.0.0.1:8787
#   ./workers.sh prompts.txt answers.jsonl
#
# Reads one prompt a line and writes one JSON line for each. Run it again to go on: answers are kept in
# answers.jsonl.parts until then, and what has a result is not asked again. Needs curl and jq.
set -euo pipefail

base=${CLORO_BASE_URL:-http://127.0.0.1:8787}
endpoint=chatgpt country=US
tries_max=5 # For failures. Waiting for a slot is none.

# The key on a command line could be read by others.
api() { curl -sS --max-time 310 -K <(printf 'header = "Authorization: Bearer %s"\n' "$CLORO_API_KEY") "$@"; }

# The value of a header in a file of headers.
header() { sed -n "s/^$2: *\([^\r]*\).*/\1/Ip" "$1" | tail -n 1; }

# Retry-After, if there is one, and full jitter on top of it: callers that were refused together come back apart.
wait_before() {
    local cap_ms=$((500 << ($2 < 6 ? $2 : 6))) asked
    asked=$(header "$1" retry-after)
    sleep "$(awk -v asked="${asked:-0}" -v cap="$cap_ms" -v random="$RANDOM" \
        'BEGIN { print asked + cap / 1000 * random / 32768 }')"
}

# One worker's work on one prompt: line number, prompt, folder.
answer() {
    local line=$1 prompt=$2 parts=$3 failures=0 refusals=0 status
    local out=$parts/$line.json body=$parts/$line.body head=$parts/$line.head
    while :; do
        status=$(jq -n --arg prompt "$prompt" --arg country "$country" '{$prompt, $country}' |
            api -o "$body" -D "$head" -w '%{http_code}' -H 'Content-Type: application/json' \
                --data-binary @- "$base/v1/monitor/$endpoint") || status=000
        case $status in
            200) jq -c --argjson line "$line" --arg prompt "$prompt" '{$line, $prompt, result}' "$body" >"$out.new" && break ;;
            429) # No failure: wait until it is our turn.
                refusals=$((refusals + 1))
                wait_before "$head" "$refusals"
                continue
                ;;
            401 | 403) # It would be the same for every other prompt. 255 ends xargs.
                echo "stopped: $(cat "$body")" >&2
                exit 255
                ;;
        esac
        failures=$((failures + 1))
        if [ "$failures" -lt "$tries_max" ] && [[ $status =~ ^(000|200|408|5..)$ ]]; then
            wait_before "$head" "$failures"
            continue
        fi
        # What asking again would not change.
        jq -c --argjson line "$line" --arg prompt "$prompt" --arg status "$status" \
            '{$line, $prompt, error: (.error? // {code: "HTTP_\($status)"})}' "$body" >"$out.new" && break
    done
    mv "$out.new" "$out"
    rm -f "$body" "$head"
}

if [ "$1" = --one ]; then
    answer "$2" "$3" "$4"
    exit
fi

prompts=$1 answers=$2 parts=$2.parts
mkdir -p "$parts"
# Costs nothing, holds no slot, and shows the slots as they are now.
api -f -o /dev/null -D "$parts/head" "$base/v1/credits"
workers=$(header "$parts/head" x-concurrent-remaining)
[ "$workers" -ge 1 ] || workers=1

line=0 status=0
while IFS= read -r prompt || [ -n "$prompt" ]; do
    line=$((line + 1))
    if [ -n "${prompt// /}" ] && ! jq -e .result "$parts/$line.json" >/dev/null 2>&1; then
        printf '%s\0%s\0%s\0' "$line" "$prompt" "$parts"
    fi
done <"$prompts" | xargs -0 -r -n 3 -P "$workers" "$BASH" "$0" --one || status=1

find "$parts" -name '*.json' -exec cat {} + | jq -sc 'sort_by(.line)[]' >"$answers"
exit "$status"
