package door

import (
	"errors"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// Nothing on one machine can vanish as a node does, so this looks at what the kernel was asked for.
func TestAGatewayThatVanishesIsNoticed(t *testing.T) {
	g := newGateway(t, ok)
	_, transport, err := dialling(g.contract())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := transport.DialContext(t.Context(), "tcp", g.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for _, option := range []struct {
		name               string
		level, named, want int
	}{
		{"what is not acknowledged, in ms", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 60000},
		{"probes", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{"the first probe, in s", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 20},
		{"the next one, in s", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 5},
		{"how many", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 8},
	} {
		got, failed := 0, error(nil)
		err := raw.Control(func(fd uintptr) { got, failed = unix.GetsockoptInt(int(fd), option.level, option.named) })
		if err := errors.Join(err, failed); err != nil || got != option.want {
			t.Errorf("%s: got %d, want %d, %v", option.name, got, option.want, err)
		}
	}
}
