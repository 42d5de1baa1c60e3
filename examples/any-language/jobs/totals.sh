# Rows and the sum of `amount` of the first input, as one JSON line. Needs jq.
set -eu

output=$(jq -r .output_directory "$HEADRACE_CONTEXT")
partition=$(jq -r .partition "$HEADRACE_CONTEXT")
input=$(jq -r '[.inputs[].path][0]' "$HEADRACE_CONTEXT")

jq -c -n --arg partition "$partition" '
    reduce inputs as $row ({partition: $partition, orders: 0, amount: 0};
        .orders += 1 | .amount += ($row.amount // 0))
' "$input" > "$output/rows.jsonl"

echo '{"event": "progress", "value": 1}' >> "$HEADRACE_EVENTS"
