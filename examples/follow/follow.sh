#!/bin/sh
# Prints the rows of a board as they change: sh follow.sh [BOARD SERVER]
url="${2:-http://127.0.0.1:8080}/api/v1/events?board=${1:-krw}" last_event_id='' retry=1 pause=1
folder=$(mktemp -d) && trap 'rm -r "$folder"' EXIT && mkfifo "$folder/events" || exit
while :; do
  # A heartbeat comes every 15 s: after 30 s at less than a byte a second the connection is dead.
  curl -sSN --connect-timeout 10 --speed-limit 1 --speed-time 30 --write-out '\nstatus: %{http_code}\n' \
    --header "Last-Event-ID: $last_event_id" "$url" >"$folder/events" &
  while read -r field value; do
    case $field in
      retry:) retry=$((value / 1000 + 1)) ;;
      id:) id=$value ;;
      data:) printf '%s\n' "$value" && last_event_id=$id pause=$retry ;;
      '{'*) printf '%s\n' "$field $value" >&2 ;; # the problem, when there is no stream
      status:) case $value in 4??) echo "refused: $value" >&2 && echo null && exit ;; esac ;;
    esac
  done <"$folder/events"
  sleep $((pause + $(od -An -N1 -tu1 /dev/urandom) % (pause + 1)))
  pause=$((pause < 30 ? 2 * pause : 60))
done | jq -nr --unbuffered '
  foreach (inputs | . // ("" | halt_error)) as $message ({};
    if $message.type == "snapshot" then {} else . end
      | reduce $message.rows[]? as $changed (.; .[$changed.market] += $changed);
    .[$message.rows[]?.market]
      | if .state == "live" or .state == "delayed"
        then "\(.market) \(.last) \(.change | if . then .percent + "%" else "–" end) \(.state)"
        else "\(.market) not current: \(.state) last price \(.last)" end)'
