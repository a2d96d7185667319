//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// outsideEnv makes this test program be the outside network's servers.
const outsideEnv = "CLUSTER_TEST_OUTSIDE"

func TestMain(m *testing.M) {
	if os.Getenv(outsideEnv) != "" {
		fmt.Fprintln(os.Stderr, serveOutside())
		os.Exit(1)
	}
	folder, err := os.MkdirTemp("", "sandkeep-cluster-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make a folder for the programs:", err)
		os.Exit(1)
	}
	programs.folder = folder
	code := m.Run()
	if err := os.RemoveAll(folder); err != nil {
		fmt.Fprintln(os.Stderr, "remove the programs:", err)
	}
	os.Exit(code)
}

func (w *world) startOutside(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "ip", "netns", "exec", w.name+"o", self)
	cmd.Env = append(os.Environ(), outsideEnv+"=1")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(cmd.Process.Kill(), cmd.Wait()) })
}

// serveOutside answers HTTP requests with the address that they came from, and DNS queries with its own.
func serveOutside() error {
	socket, err := net.ListenPacket("udp", serverAddr+":53")
	if err != nil {
		return err
	}
	go func() {
		query := make([]byte, 512)
		for {
			n, from, err := socket.ReadFrom(query)
			if err != nil {
				return
			}
			_, _ = socket.WriteTo(answer(query[:n], serverName, serverAddr), from) // who gets no answer asks again
		}
	}()
	return http.ListenAndServe(serverAddr+":80", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr) // what net/http wrote
		_, _ = fmt.Fprintln(rw, "hello", host)
	}))
}

// answer makes a DNS response (RFC 1035) to a query for the name: its address, or nothing for other types. Names that do
// not exist have none either.
func answer(query []byte, known, addr string) []byte {
	const header, typeA = 12, 1
	end := header + bytes.IndexByte(query[header:], 0) + 5 // the name's end, a type and a class
	question := query[header:end]
	name, qtype := question[:len(question)-4], question[len(question)-3]
	asked := bytes.EqualFold(name, wireName(known))
	flags, answers := []byte{0x84, 0x00}, byte(0)
	if !asked {
		flags[1] = 3 // NXDOMAIN
	}
	var record []byte
	if asked && qtype == typeA {
		answers = 1
		record = append([]byte{0xc0, header, 0, typeA, 0, 1, 0, 0, 0, 0, 0, 4}, net.ParseIP(addr).To4()...)
	}
	response := append([]byte{query[0], query[1], flags[0], flags[1], 0, 1, 0, answers, 0, 0, 0, 0}, question...)
	return append(response, record...)
}

// wireName is a name as queries hold it: each label after its length, and an empty one in the end.
func wireName(name string) []byte {
	var wire []byte
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		wire = append(append(wire, byte(len(label))), label...)
	}
	return append(wire, 0)
}
