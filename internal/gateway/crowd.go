package gateway

import (
	"net"
	"net/netip"
	"sync"
)

// maxConnections is how many connections one address may have. A sandbox needs one for each request that it may have under way; nobody else needs any.
const maxConnections = 2 * maxUnderWay

// crowd is a listener that refuses connections from an address that has maxConnections: each takes memory before anybody knows whose it is.
type crowd struct {
	net.Listener
	// refused is told of each.
	refused func()

	mu   sync.Mutex
	from map[netip.Addr]int
}

// Accept implements net.Listener.
func (c *crowd) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if from := addressOf(conn); c.enter(from) {
			return &member{Conn: conn, leave: func() { c.leave(from) }}, nil
		}
		c.refused()
		_ = conn.Close()
	}
}

func addressOf(conn net.Conn) netip.Addr {
	from, _ := netip.ParseAddrPort(conn.RemoteAddr().String()) // what has no address shares one
	return from.Addr().Unmap()
}

func (c *crowd) enter(from netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.from == nil {
		c.from = map[netip.Addr]int{}
	}
	if c.from[from] >= maxConnections {
		return false
	}
	c.from[from]++
	return true
}

func (c *crowd) leave(from netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.from[from]--; c.from[from] == 0 {
		delete(c.from, from)
	}
}

// member is a connection that is counted until it is closed, which may be done more than once.
type member struct {
	net.Conn
	leave func()
	once  sync.Once
}

// Close implements net.Conn.
func (m *member) Close() error {
	m.once.Do(m.leave)
	return m.Conn.Close()
}
