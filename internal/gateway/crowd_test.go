package gateway

import (
	"net"
	"testing"
	"time"
)

func TestOneAddressHasSoManyConnections(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusals := make(chan bool, 10)
	c := &crowd{Listener: inner, refused: func() { refusals <- true }}
	t.Cleanup(func() { _ = c.Close() })
	accepted := make(chan net.Conn, 2*maxConnections)
	go func() {
		for {
			conn, err := c.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	dial := func(from string) net.Conn {
		t.Helper()
		d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
		conn, err := d.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	var first net.Conn
	for range maxConnections {
		dial("127.0.0.2")
		first = <-accepted
	}
	for range 2 {
		extra := dial("127.0.0.2")
		_ = extra.SetReadDeadline(time.Now().Add(patience))
		if n, err := extra.Read(make([]byte, 1)); n > 0 || err == nil {
			t.Error("one too many is served")
		}
		<-refusals
	}
	dial("127.0.0.3")
	<-accepted // another address is not concerned
	for range 2 {
		_ = first.Close() // net/http closes more than once
	}
	dial("127.0.0.2")
	<-accepted
	dial("127.0.0.2")
	<-refusals
}
