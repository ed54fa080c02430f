# A broker on a file system of its own that is nearly full. $1: the binary; $2: where the file system is; $3: a directory
# that the test sees as well. What takes up the room goes when the test makes the file "free". Once the broker is dead,
# what it has kept is exported.
mount -t tmpfs -o size=2m none "$2" || exit 99
head -c 1600000 /dev/zero >"$2/ballast"
(
    while [ ! -e "$3/free" ]; do sleep 0.05; done
    rm "$2/ballast"
) &
"$1" serve --set log.format=json --listen tcp://127.0.0.1:0 --data-dir "$2/data" &
broker=$!
echo $broker >"$3/pid"
wait $broker
"$1" store export --data-dir "$2/data" >"$3/export.jsonl"
