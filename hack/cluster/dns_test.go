//go:build linux

package main

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// known is the address that the clusters of these tests have under the name that is asked for.
const known = "198.18.1.1"

// dnsServer answers all queries but the first ones, which are lost as those to a server that has ended.
func dnsServer(t *testing.T, lost int, name string) netip.AddrPort {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	go func() {
		query := make([]byte, 512)
		for asked := 0; ; asked++ {
			n, from, err := socket.ReadFrom(query)
			if err != nil {
				return
			}
			if asked >= lost {
				_, _ = socket.WriteTo(answer(query[:n], name, known), from) // who gets no answer asks again
			}
		}
	}()
	return netip.MustParseAddrPort(socket.LocalAddr().String())
}

func TestDNSIsAwaitedWhileQueriesAreLost(t *testing.T) {
	if err := awaitDNS(t.Context(), dnsServer(t, 2, knownName), netip.MustParseAddr(known), time.Minute); err != nil {
		t.Error(err)
	}
}

func TestDNSThatDoesNotServeTheClusterIsNamed(t *testing.T) {
	tests := map[string]struct {
		lost int
		name string
		addr string
		want string
	}{
		"no answer":                     {1000, knownName, known, "timeout"},
		"a server that does not know":   {0, "other.example.", known, "no such host"},
		"a server of another cluster's": {0, knownName, "198.18.17.1", "instead of 198.18.17.1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			server := dnsServer(t, test.lost, test.name)
			err := awaitDNS(t.Context(), server, netip.MustParseAddr(test.addr), 3*dnsTry/2)
			for _, want := range []string{server.String(), test.want} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v lacks %q", err, want)
				}
			}
		})
	}
}
