package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
)

const live = contract.GatewayProviders + "anthropic/v1/live"

// talk opens a connection to the gateway, asks for another protocol, and reads the answer.
func (s *stage) talk(protocol string, more ...string) (net.Conn, *bufio.Reader, *http.Response) {
	s.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.front, "http://"))
	if err != nil {
		s.t.Fatal(err)
	}
	reader, answer := s.upgrade(conn, protocol, more...)
	return conn, reader, answer
}

// upgrade asks for another protocol on a connection.
func (s *stage) upgrade(conn net.Conn, protocol string, more ...string) (*bufio.Reader, *http.Response) {
	s.t.Helper()
	s.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	lines := append([]string{"GET " + live + " HTTP/1.1", "Host: gateway", "Authorization: Bearer " + podToken, "Connection: Upgrade", "Upgrade: " + protocol}, more...)
	if _, err := io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n"); err != nil {
		s.t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	answer, err := http.ReadResponse(reader, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return reader, answer
}

// uncounted has a provider whose answers nobody counts: only these may be WebSockets.
func uncounted(o *objects) { o.provider.Spec.Usage = "" }

// switching changes the protocol, and hands the connection over; header lines are added to its answer.
func switching(then func(net.Conn, *bufio.ReadWriter), header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			http.Error(w, "no upgrade", http.StatusUpgradeRequired)
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		header := append([]string{"HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: " + r.Header.Get("Upgrade")}, header...)
		_, _ = rw.WriteString(strings.Join(header, "\r\n") + "\r\n\r\n")
		_ = rw.Flush()
		then(conn, rw)
	}
}

// parrot says all that it hears.
func parrot(conn net.Conn, rw *bufio.ReadWriter) { _, _ = io.Copy(conn, rw) }

func TestAWebSocketPassesBytesBothWays(t *testing.T) {
	s := newStage(t, switching(parrot, "Sec-WebSocket-Accept: x", "Set-Cookie: a=b", "Sandkeep-Failure-Class: x", "Alt-Svc: h3"), uncounted)
	conn, reader, answer := s.talk("websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: eA==", "Sec-WebSocket-Extensions: permessage-deflate", "X-Api-Key: stolen")
	want := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Accept": {"x"}}
	if diff := cmp.Diff(want, answer.Header); diff != "" || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%s, header (-want +got):\n%s", answer.Status, diff)
	}
	for i := range 100 {
		text := fmt.Sprintf("frame %d\n", i)
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		if got, err := reader.ReadString('\n'); err != nil || got != text {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	_ = conn.Close()
	seen := s.upstream.requests()[0]
	if strings.Contains(seen, "Extensions") || strings.Contains(seen, "stolen") || !strings.Contains(seen, "Upgrade: websocket\n") || !strings.Contains(seen, "X-Api-Key: "+canary) {
		t.Errorf("the provider saw\n%s", seen)
	}
	s.counts("requests_total{class=opencode,credential=shared,namespace=team-a,provider=anthropic,status=101,} 1")
}

func TestI2AWebSocketThatSaysTheKeyIsCut(t *testing.T) {
	s := newStage(t, switching(func(conn net.Conn, rw *bufio.ReadWriter) {
		_, _ = io.WriteString(conn, "\x81\x05hello\n")
		_, _ = rw.ReadString('\n')
		_, _ = io.WriteString(conn, "\x81\x3d"+canary)
		_, _ = io.Copy(io.Discard, rw) // until the gateway hangs up
	}), uncounted)
	conn, reader, _ := s.talk("websocket")
	if got, err := reader.ReadString('\n'); err != nil || got != "\x81\x05hello\n" {
		t.Fatalf("got %q, %v", got, err)
	}
	_, _ = io.WriteString(conn, "go on\n")
	rest, err := io.ReadAll(reader)
	if holdsKey(string(rest)) || len(rest) > 4 {
		t.Errorf("got %q, %v", rest, err)
	}
	s.counts("keys_echoed_total{namespace=team-a,provider=anthropic,} 1")
}

func TestNoProtocolButWebSocketPasses(t *testing.T) {
	for _, protocol := range []string{"h2c", "TLS/1.2", "websocket, h2c", "spdy/3.1"} {
		t.Run(protocol, func(t *testing.T) {
			s := newStage(t, switching(parrot), uncounted)
			_, _, answer := s.talk(protocol)
			if answer.StatusCode != http.StatusUpgradeRequired || strings.Contains(s.upstream.requests()[0], "Upgrade:") {
				t.Errorf("%s; the provider saw\n%s", answer.Status, s.upstream.requests()[0])
			}
		})
	}
}

func TestAnUpgradeThatNobodyCanLookAtIsWithheld(t *testing.T) {
	cases := map[string]struct{ protocol, header string }{
		"compressed":       {"websocket", "Sec-WebSocket-Extensions: permessage-deflate"},
		"another protocol": {"websocket", "Upgrade: h2c"},
		"with the key":     {"websocket", "Sec-WebSocket-Protocol: " + canary},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			left := make(chan struct{})
			s := newStage(t, switching(func(_ net.Conn, rw *bufio.ReadWriter) {
				_, _ = io.Copy(io.Discard, rw)
				close(left)
			}, c.header), uncounted)
			_, _, answer := s.talk(c.protocol)
			if answer.StatusCode != http.StatusBadGateway || answer.Header.Get(contract.HeaderFailureClass) == "" {
				t.Errorf("%s", answer.Status)
			}
			select {
			case <-left:
			case <-time.After(patience):
				t.Error("the connection to the provider stays open")
			}
		})
	}
}

func TestNoWebSocketWhereUsageIsCountedOrLimited(t *testing.T) {
	cases := map[string]struct {
		change func(*objects)
		want   string
	}{
		"usage is counted": {func(*objects) {}, `"message":"What is used of provider \"anthropic\" is counted`},
		"the credential has limits": {func(o *objects) {
			uncounted(o)
			limited(func(l *v1alpha1.CredentialLimits) { l.TokensPerDay = new(int64(1000)) })(o)
		}, `ClusterCredential \"shared\" has limits, which cannot be kept`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, switching(parrot), c.change)
			_, _, answer := s.talk("WebSocket")
			if got := s.read(answer, nil); got.StatusCode != http.StatusNotImplemented || !strings.Contains(got.body, c.want) {
				t.Errorf("got %s %s", got.Status, got.body)
			}
			if n := len(s.upstream.requests()); n != 0 {
				t.Errorf("%d requests reached the provider", n)
			}
			s.counts("refusals_total{class=opencode,namespace=team-a,provider=anthropic,reason=UpgradeRefused,} 1")
		})
	}
}
