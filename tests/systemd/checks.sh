#!/bin/bash
# What portwatch is to a real systemd and journald. Each check is a line: `ok NAME`, or `FAIL NAME: why`.
here=/usr/lib/portwatch-test
conflict=MESSAGE_ID=db3e281c394745d6be83f4ae323f2471
story=MESSAGE_ID=f9e63e8bad61463c9e3fc4abdb9248f5
port=50010

# check NAME COMMAND...: the command must succeed within 20 s; what it said is shown if it does not.
check() {
    local name=$1 said= end=$((SECONDS + 20))
    shift
    while :; do
        if said=$("$@" 2>&1); then
            echo "ok $name"
            return 0
        fi
        [ "$SECONDS" -lt "$end" ] || break
        sleep 0.5
    done
    echo "FAIL $name: ${said:0:800}"
    return 1
}

# says PATTERN COMMAND...: the command's output has it.
says() {
    local pattern=$1 said
    shift
    said=$("$@" 2>&1)
    grep -qE -- "$pattern" <<<"$said" || { echo "no $pattern in: ${said:-nothing}"; return 1; }
}

# is UNIT PROPERTY VALUE
is() {
    local value
    value=$(systemctl show -P "$2" "$1")
    [ "$value" = "$3" ] || { echo "$2 of $1 is '$value', not '$3'"; return 1; }
}

fails() {
    ! "$@"
}

# All values of FIELD in the records that match.
values() {
    journalctl -q -o export --output-fields="$1" "${@:2}" | grep -a "^$1=" | cut -d= -f2-
}

stage() {
    while read -r module; do insmod "$module"; done <"$here/modules/order"
    # One port to choose from, so that it is known which one the client gets.
    echo "$port $port" >/proc/sys/net/ipv4/ip_local_port_range
    # It has started with what Debian has it serve.
    systemctl stop nginx
    cp "$here/site.conf" /etc/nginx/sites-enabled/default
    # For all services, as docs/systemd.md says.
    mkdir -p /etc/systemd/system/service.d /etc/systemd/system/portwatch-why@.service.d
    cp "$here/onfailure.conf" /etc/systemd/system/service.d/portwatch-why.conf
    ln -s /dev/null /etc/systemd/system/portwatch-why@.service.d/portwatch-why.conf
    # Only so that nobody waits half a minute for the watchdog.
    mkdir -p /etc/systemd/system/portwatch.service.d
    printf '[Service]\nWatchdogSec=6\n' >/etc/systemd/system/portwatch.service.d/test.conf
    systemctl daemon-reload
}

starts() {
    check "the asking is not asked about" is portwatch-why@nginx.service.service OnFailure ""
    check "the agent says READY to systemd" systemctl start portwatch
    check "it is active" is portwatch ActiveState active
    check "its status tells the backend" says "Status: .*backend fexit" systemctl status portwatch
}

a_port_is_taken() {
    systemctl start client
    check "the kernel gave the client the port" says "127.0.0.1:$port .*curl" ss -Htnp state established
    check "nginx fails to start" fails systemctl start nginx
    check "nginx has failed" is nginx ActiveState failed
    check "the victim's journal names who has its port" \
        says "nginx\[[0-9]+\] of nginx.service was refused bind to 0.0.0.0:$port/tcp, EADDRINUSE: curl\[[0-9]+\] of client.service has it" \
        journalctl -q -u nginx.service
    check "so does the culprit's" says "curl\[[0-9]+\] of client.service has it" journalctl -q -u client.service
    check "the record has its fields: cause" says "^ephemeral-client$" values PORTWATCH_CAUSE -u nginx.service "$conflict"
    check "the record has its fields: culprit" says "^client.service$" values PORTWATCH_CULPRIT_UNIT -u nginx.service "$conflict"
    check "the record has its fields: pid" \
        says "^$(systemctl show -P MainPID client)$" values OBJECT_PID -u nginx.service "$conflict"
    check "it comes from the agent" says "^portwatch.service$" values _SYSTEMD_UNIT -u nginx.service "$conflict"
    check "the unit that failed has been asked about" is portwatch-why@nginx.service.service Result success
    check "the answer stands in its journal" says "curl" journalctl -q -o cat -u nginx.service "$story"
    journalctl -q -u nginx.service -o short | sed 's/^/    /'
}

lives() {
    local pid
    pid=$(systemctl show -P MainPID portwatch)
    check "reload" systemctl reload portwatch
    sleep 1
    check "it goes on as the same process" is portwatch MainPID "$pid"
    sleep 7
    check "the watchdog is fed" is portwatch NRestarts 0
    kill -STOP "$pid"
    check "who hangs is ended by the watchdog and started again" is portwatch NRestarts 1
    check "it is active again" is portwatch ActiveState active
    check "it stops when it is told to" systemctl stop portwatch
    check "and that was no failure" is portwatch Result success
    check "systemd takes the units as they are shipped" \
        fails says . systemd-analyze verify --man=no portwatch.service portwatch-why@nginx.service.service
    check "the history has the conflict" says "curl" portwatch why nginx.service
}

# audited PROTOCOL PORT ADDRESS UNIT SERVICE: an audit has the port, as configured there.
audited() {
    says "\"protocol\":\"$1\",\"port\":$2,\"last_port\":$2,\"address\":\"$3\"[^}]*\"configured\":\{\"by\":\"systemd-socket\",\"name\":\"$4\",\"unit\":\"$5\"" \
        portwatch audit --netns self --sample 100ms -o json
}

socket_units() {
    echo "32768 60999" >/proc/sys/net/ipv4/ip_local_port_range
    mkdir -p /etc/systemd/system/audited.socket.d
    cp "$here/audited.conf" /etc/systemd/system/audited.socket.d/
    systemctl daemon-reload
    check "a socket unit that nothing wants is not told" fails says "audited" portwatch audit --netns self --sample 100ms -o json
    systemctl enable -q audited.socket audited@50032.socket
    check "systemd reads the unit like this: stream" says "^127.0.0.1:50030 .Stream" systemctl show -P Listen audited.socket
    check "systemd reads the unit like this: datagram" says "^\[::1\]:50031 .Datagram" systemctl show -P Listen audited.socket
    check "systemd reads the unit like this: no more" fails says "50029" systemctl show -P Listen audited.socket
    check "so does audit: stream" audited tcp 50030 127.0.0.1 audited.socket audited.service
    check "so does audit: datagram" audited udp 50031 ::1 audited.socket audited.service
    check "so does audit: no more" fails says ":50029," portwatch audit --netns self --sample 100ms -o json
    check "an instance has its own port" audited tcp 50032 127.0.0.1 audited@50032.socket audited@.service
    check "it can be started" systemctl start audited.socket
    check "an open one is told as a listener" \
        says '"kind":"listener-in-range"[^}]*"port":50030,' \
        portwatch audit --netns self --sample 100ms --ignore configured-in-range -o json
    systemctl stop audited.socket
    systemctl mask -q audited@50032.socket
    check "a masked one is not told" fails says ":50032," portwatch audit --netns self --sample 100ms -o json
}

ends() {
    journalctl -q -u portwatch.service | tail -40 | sed 's/^/    /'
    echo "PORTWATCH-VM-EXIT 0"
    systemctl --no-block poweroff -ff
}

stage
starts
a_port_is_taken
lives
socket_units
ends
