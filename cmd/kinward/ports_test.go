package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// freePort returns a port of loopback that nobody has by UDP or TCP, for a program that
// is told its port and takes it a moment later. It lies below those that the system
// hands out itself (Linux, ip_local_port_range: from 32768 on), so that no socket of a
// test that runs at the same time gets it meanwhile.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 15000 + rand.IntN(15000)
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		pc, err := net.ListenPacket("udp4", addr)
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp4", addr)
		pc.Close()
		if err != nil {
			continue
		}
		l.Close()
		return port
	}
	t.Fatal("no port below 30000 is free for UDP and TCP alike")
	return 0
}

// bothPorts listens on one port of loopback by UDP and TCP.
func bothPorts(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 50 { // another may have the TCP port of a free UDP port
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", pc.LocalAddr().String())
		if err == nil {
			return pc, l
		}
		pc.Close()
	}
	t.Fatal("no port is free for UDP and TCP alike")
	return nil, nil
}
