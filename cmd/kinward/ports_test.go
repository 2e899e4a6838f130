package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
)

// given are the ports that freePort returned: none is returned twice.
var given struct {
	sync.Mutex
	ports map[int]bool
}

// freePort returns a port of loopback that nobody has by UDP or TCP, for a program that
// is told its port and takes it a moment later. The system does not hand it out itself,
// so that no socket of a test that runs at the same time gets it meanwhile.
func freePort(t *testing.T) int {
	t.Helper()
	low, high := keptPorts(t)
	given.Lock()
	defer given.Unlock()
	for range 1000 {
		port := low + rand.IntN(high-low+1)
		if given.ports[port] {
			continue
		}
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
		if given.ports == nil {
			given.ports = map[int]bool{}
		}
		given.ports[port] = true
		return port
	}
	t.Fatalf("no port from %d to %d is free for UDP and TCP alike", low, high)
	return 0
}

// keptPorts returns the longer of the ranges below and above the ports that the system
// hands out to sockets that ask for none (ip_local_port_range): from 32768 on with most
// Linux systems, from 16000 on in some sandboxes.
func keptPorts(t *testing.T) (low, high int) {
	t.Helper()
	from, to := 32768, 60999
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		if _, err := fmt.Sscan(string(text), &from, &to); err != nil {
			t.Fatalf("the system's own ports %q: %v", text, err)
		}
	}
	// Below 10000 are ports that services of the machine have.
	low, high = 10000, from-1
	if 65535-to > high-low {
		low, high = to+1, 65535
	}
	if high-low < 500 { // a system that keeps none
		low, high = 10000, 65535
	}
	return low, high
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
