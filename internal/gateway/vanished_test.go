package gateway

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/gateway/grant"
)

// vanishing is a network in front of a listener, which from some time on carries nothing to it, and says so to nobody.
type vanishing struct {
	net.Listener
	gone atomic.Bool
}

func (l *vanishing) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return &vanishingConn{conn, &l.gone}, err
}

type vanishingConn struct {
	net.Conn
	gone *atomic.Bool
}

// Read swallows what comes in once the network is gone.
func (c *vanishingConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil || !c.gone.Load() {
			return n, err
		}
	}
}

// TestAProviderThatVanishesIsNoticed: without a ping nothing would be, until a model has had all its time to think.
func TestAProviderThatVanishesIsNoticed(t *testing.T) {
	network := &vanishing{}
	s := trusting(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "messages") {
			network.gone.Store(true)
			<-r.Context().Done()
			return
		}
		fine(w, r)
	}, func(u *httptest.Server) {
		u.EnableHTTP2 = true
		network.Listener = u.Listener
		u.Listener = network
	})
	transport := s.upstreams.to(grant.Grant{Provider: s.provider, Endpoint: *s.endpoint()}, nil).transport
	if transport.HTTP2 == nil || transport.HTTP2.SendPingTimeout != 20*time.Second || transport.HTTP2.PingTimeout != 15*time.Second {
		t.Fatalf("pings: %+v", transport.HTTP2)
	}
	transport.HTTP2.SendPingTimeout, transport.HTTP2.PingTimeout = 50*time.Millisecond, 50*time.Millisecond
	if a := s.do(s.request(http.MethodGet, contract.GatewayProviders+"anthropic/v1/models/x", "")); a.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", a.Status, a.body)
	}
	s.unavailable(s.post(""), http.StatusBadGateway, "Unavailable")
}
