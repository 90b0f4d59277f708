#!/usr/bin/env bash
# Answers later: everything is handed in at once, then collected.
#
#   export CLORO_API_KEY=sk_live_… CLORO_BASE_URL=http://127.0.0.1:8787
#   ./queue.sh prompts.txt answers.jsonl
#
# Reads one prompt a line and writes one JSON line for each. Run it again to go on: what was handed in is not handed in
# twice, and what is in answers.jsonl is not asked again. Needs curl and jq.
#
# It asks for the answers, since a shell is no place to receive webhooks. With CLORO_WEBHOOK_URL set the server also
# tells that address of each end; the receivers beside this example are in Python and TypeScript, and verify.sh checks
# one delivery by hand.
set -euo pipefail

base=${CLORO_BASE_URL:-http://127.0.0.1:8787}
task_type=CHATGPT country=US
batch_max=500
prompts=$1 answers=$2
# The same file gives the same keys. Another RUN asks anew; a key is bound until 24 h after the end of its task.
run=$(sha256sum "$prompts" | cut -c 1-16)${RUN:+-$RUN}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
touch "$answers" "$work/waiting"

# The key on a command line could be read by others.
api() { curl -sS --max-time 60 -K <(printf 'header = "Authorization: Bearer %s"\n' "$CLORO_API_KEY") "$@"; }

# Sends until the answer is not one that may pass: 429 (also: the queue is full), 5xx, no answer. The body goes to
# $work/reply, the status to $status.
persist() {
    local tries=0 asked
    while :; do
        status=$(api -o "$work/reply" -D "$work/head" -w '%{http_code}' "$@") || status=000
        case $status in
            000 | 429 | 5??) ;;
            *) return ;;
        esac
        tries=$((tries + 1))
        asked=$(sed -n 's/^retry-after: *\([0-9]*\).*/\1/Ip' "$work/head" | tail -n 1)
        sleep $((${asked:-0} + RANDOM % (1 << (tries < 6 ? tries : 6)) + 1))
    done
}

# One task a line, without those that have their answer.
jq -s 'map(select(.result) | {key: (.line | tostring), value: true}) | from_entries' "$answers" >"$work/answered"
jq -Rnc --arg type "$task_type" --arg country "$country" --arg run "$run" --arg url "${CLORO_WEBHOOK_URL:-}" \
    --slurpfile answered "$work/answered" '
    [inputs] | to_entries[] | (.key + 1) as $line | select(.value | test("\\S"))
    | select($answered[0]["\($line)"] | not)
    | {taskType: $type, payload: {prompt: .value, $country}, idempotencyKey: "\($run)-\($line)"}
    + if $url == "" then {} else {webhook: {$url}} end' "$prompts" >"$work/tasks"

# Safe to repeat: a key that is bound to a task makes no second one, and its RESOURCE_ALREADY_EXISTS is no fault.
stopped=0
split -l "$batch_max" "$work/tasks" "$work/batch."
for batch in "$work"/batch.*; do
    [ -s "$batch" ] || continue
    jq -s . "$batch" >"$work/body"
    persist -H 'Content-Type: application/json' --data-binary "@$work/body" "$base/v1/async/task/batch"
    if [ "$status" != 200 ]; then
        cat "$work/reply" >&2
        exit 1
    fi
    jq -c --slurpfile tasks "$batch" '.results[]
        | select(.error == null or .error.code == "RESOURCE_ALREADY_EXISTS") | $tasks[.index]' \
        "$work/reply" >>"$work/waiting"
    jq -c --slurpfile tasks "$batch" '.results[] | select(.error.code == "VALIDATION_ERROR")
        | {line: ($tasks[.index].idempotencyKey | split("-") | last | tonumber),
           prompt: $tasks[.index].payload.prompt, error}' "$work/reply" >>"$answers"
    if jq -e '[.results[].error.code] | index("INSUFFICIENT_CREDITS")' "$work/reply" >/dev/null; then
        echo "stopped: the credits do not cover the rest" >&2
        stopped=1
        break
    fi
done

# First in, first out: when the first have ended the next ones have too, or will soon. So a hundred at a time are read,
# over one connection, until all of them have ended.
split -l 100 "$work/waiting" "$work/part."
for part in "$work"/part.*; do
    pause=1
    while [ -s "$part" ]; do
        jq -r --arg base "$base" '"url = \"\($base)/v1/async/task/\(.idempotencyKey)\""' "$part" >"$work/urls"
        api -K "$work/urls" >"$work/replies" || true # What did not come is asked for again.
        if jq -es 'map(.error.code // "") | any(test("API_KEY"))' "$work/replies" >/dev/null; then
            cat "$work/replies" >&2
            exit 1
        fi
        jq -c --slurpfile tasks "$part" '
            ($tasks | map({key: .idempotencyKey, value: .payload.prompt}) | from_entries) as $prompts
            | select(.response) | .task.idempotencyKey as $key
            | {line: ($key | split("-") | last | tonumber), prompt: $prompts[$key], task: .task.id}
            + if .task.status == "COMPLETED" then {result: .response} else .response end' "$work/replies" >>"$answers"
        jq -r 'select(.error.code == "RESOURCE_NOT_FOUND") | "gone: \(.error.details.id)"' "$work/replies" >&2
        jq -s 'map({key: (select(.response).task.idempotencyKey, select(.error).error.details.id?) | strings, value: true})
            | from_entries' "$work/replies" >"$work/ended"
        jq -c --slurpfile ended "$work/ended" 'select($ended[0][.idempotencyKey] | not)' "$part" >"$part.left"
        cmp -s "$part" "$part.left" || pause=1
        mv "$part.left" "$part"
        if [ -s "$part" ]; then
            sleep "$pause"
            pause=$((pause < 8 ? pause * 2 : 15))
        fi
    done
done
exit "$stopped"
